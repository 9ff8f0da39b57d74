"""Fingerprints of videos: codes of copies stay near the original's, and those of other videos do not come near."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from firstsight.media import pdq
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints, distances
from firstsight.media.frames.video_frames import THUMBNAIL_SIDE, ScannedFrame
from firstsight.media.prints import print_maker
from firstsight.media.prints.codes import Box, codes
from firstsight.media.prints.print_maker import PrintMaker
from firstsight.media.video_prints import CROPS_PER_S, MAX_CODES_BYTES, PRINTS_PER_S, VideoPrints

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
SIZE = (640, 360)
NEAR = 60
"""A mean distance in bits of a sequence that cannot be chance: unrelated codes differ in 128 bits on average."""


def moving_shot(name: str, ticks: int, seed: int) -> list[Image.Image]:
    """A camera that moves over a picture."""
    with Image.open(PICTURES / name) as opened:
        picture = opened.convert("RGB").resize((900, 900))
    rng = np.random.default_rng(seed)
    start, end = rng.uniform(0, 1, (2, 2))
    shots = []
    for share in np.linspace(0, 1, ticks):
        x, y = (start + share * (end - start)) * (np.array((900, 900)) - SIZE)
        shots.append(picture.crop((int(x), int(y), int(x) + SIZE[0], int(y) + SIZE[1])))
    return shots


FIRST = "poster-cat.jpg drum-kit.jpg fruit-basket.jpg geranium.jpg laptop.png grapes.jpg"
SECOND = "teddy-bear.jpg bicycle.jpg poster-galaxies.jpg backpack.jpg television.jpg abc-blocks.jpg"


@pytest.fixture(scope="module")
def original() -> list[Image.Image]:
    """The frames of a video at its ticks: six shots of 2 s."""
    return [frame for n, name in enumerate(FIRST.split()) for frame in moving_shot(name, 4, n)]


@pytest.fixture(scope="module")
def other() -> list[Image.Image]:
    """Another video."""
    return [frame for n, name in enumerate(SECOND.split()) for frame in moving_shot(name, 4, 50 + n)]


def prints_of(frames: list[Image.Image]) -> VideoPrints:
    maker = PrintMaker()
    for tick, frame in enumerate(frames):
        scale = THUMBNAIL_SIDE / max(frame.size)
        size = (round(frame.width * scale), round(frame.height * scale))
        thumbnail = np.asarray(frame.resize(size, Image.Resampling.BOX))
        maker.add(ScannedFrame(tick, tick / PRINTS_PER_S, thumbnail, lambda min_side: frame), tick % 4 == 0)  # noqa: B023
    return maker.finish(len(frames) / PRINTS_PER_S)


def distance(a: Fingerprints, b: Fingerprints) -> float:
    """Mean distance of rows that both have a code."""
    rows = a.any(axis=1) & b.any(axis=1)
    assert rows.mean() > 0.7
    return float(distances(a[rows], b[rows]).mean())


def at_whole_seconds(prints: VideoPrints) -> Fingerprints:
    return prints.whole[::PRINTS_PER_S]


def test_codes_are_those_of_pdq() -> None:
    """Of a picture of 64 x 64 the codes equal the hash of one picture, but for bits where rounding decides."""
    with Image.open(PICTURES / "poster-cat.jpg") as opened:
        pixels = np.asarray(opened.convert("L").resize((64, 64)))
    flat = np.full_like(pixels, 90)
    found = codes(np.stack([pixels, flat]), Box(0, 0, 64, 64))
    expected = np.frombuffer(pdq.bits(pdq.coefficients(pixels)), np.uint8)
    assert distances(found[:1], expected[None])[0] <= 2
    assert not found[1].any()  # no code for a flat picture


def test_rows_are_ticks_and_regions_have_a_row_a_second(original: list[Image.Image]) -> None:
    prints = prints_of(original)
    assert len(prints.whole) == len(original) == 24
    assert {name: len(found) for name, found in prints.regions.items()} == {"centre": 12, "core": 12, "strip": 12}
    assert distance(prints.whole, prints.whole[::-1]) > 90


def test_ticks_without_a_frame_have_rows_of_zeros(original: list[Image.Image]) -> None:
    maker = PrintMaker()
    for tick in (0, 1, 7):
        thumbnail = np.asarray(original[tick].resize((160, 90)))
        maker.add(ScannedFrame(tick, tick / 2, thumbnail, lambda min_side: original[0]), tick == 0)
    whole = maker.finish(4.0).whole
    assert whole.any(axis=1).tolist() == [True, True, False, False, False, False, False, True]


def with_bars(frame: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (640, 480))
    canvas.paste(frame, (0, 60))
    return canvas


def with_border(frame: Image.Image) -> Image.Image:
    with Image.open(PICTURES / "fondue-pot.jpg") as opened:
        canvas = opened.convert("RGB").resize((640, 480))
    canvas.paste(frame.resize((480, 270)), (80, 100))
    return canvas


def with_logo(frame: Image.Image) -> Image.Image:
    marked = frame.copy()
    marked.paste((255, 120, 0), (520, 20, 610, 65))
    return marked


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def crop(frame: Image.Image) -> Image.Image:
        w, h = SIZE[0] * share / 2, SIZE[1] * share / 2
        return frame.crop((int(320 - w), int(180 - h), int(320 + w), int(180 + h)))

    return crop


def upright(frame: Image.Image) -> Image.Image:
    return frame.crop((219, 0, 421, 360))


def blurred_upright(frame: Image.Image) -> Image.Image:
    canvas = upright(frame).resize((360, 640)).filter(ImageFilter.BoxBlur(14))
    canvas.paste(frame.resize((360, 202)), (0, 219))
    return canvas


@pytest.mark.parametrize("change", [with_bars, with_border, with_logo])
def test_bars_borders_and_logos_are_left_out(
    change: Callable[[Image.Image], Image.Image], original: list[Image.Image]
) -> None:
    copy = prints_of([change(frame) for frame in original])
    assert distance(prints_of(original).whole, copy.whole) < MAX_DISTANCE


def test_two_videos_in_the_same_border_do_not_come_near(original: list[Image.Image], other: list[Image.Image]) -> None:
    framed = [prints_of([with_border(frame) for frame in frames]) for frames in (original, other)]
    assert distance(framed[0].whole, framed[1].whole) > 100


@pytest.mark.parametrize(
    ("share", "region"), [(0.81, "centre"), (0.8, "centre"), (0.75, "centre"), (0.68, "core"), (0.64, "core")]
)
def test_crops_of_the_middle_come_near_to_a_region(share: float, region: str, original: list[Image.Image]) -> None:
    copy = prints_of([cropped(share)(frame) for frame in original])
    assert distance(prints_of(original).regions[region], at_whole_seconds(copy)) < NEAR + 20  # type: ignore[index]


def test_the_centre_of_a_crop_may_be_the_core_of_the_original(original: list[Image.Image]) -> None:
    copy = prints_of([cropped(0.85)(frame) for frame in original])
    assert distance(prints_of(original).regions["core"], copy.regions["centre"]) < NEAR


def test_an_upright_crop_is_the_strip(original: list[Image.Image]) -> None:
    copy = prints_of([upright(frame) for frame in original])
    assert "strip" not in copy.regions
    assert distance(prints_of(original).regions["strip"], at_whole_seconds(copy)) < NEAR


def test_the_middle_of_a_blurred_upright_version_is_the_original(original: list[Image.Image]) -> None:
    copy = prints_of([blurred_upright(frame) for frame in original])
    assert distance(at_whole_seconds(prints_of(original)), copy.regions["inner"]) < MAX_DISTANCE


def test_a_picture_in_picture_is_the_original(original: list[Image.Image], other: list[Image.Image]) -> None:
    frames = []
    for small, large in zip(original, other, strict=True):
        canvas = large.copy()
        canvas.paste(small.resize((288, 162)), (330, 20))
        frames.append(canvas)
    copy = prints_of(frames)
    assert distance(at_whole_seconds(prints_of(original)), copy.regions["inner"]) < NEAR


def test_a_plain_video_has_no_inner_picture(original: list[Image.Image], other: list[Image.Image]) -> None:
    assert "inner" not in prints_of(original).regions
    assert "inner" not in prints_of(other).regions


def test_bars_of_one_shot_are_left_out_in_a_compilation(original: list[Image.Image], other: list[Image.Image]) -> None:
    mixed = [frame.resize((640, 480)) for frame in other[:8]] + [with_bars(frame) for frame in original]
    copy = prints_of(mixed)
    assert distance(prints_of(original).whole, copy.whole[8:]) < MAX_DISTANCE


def test_chunks_join_without_a_seam(original: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prints_of(original)
    monkeypatch.setattr(print_maker, "CHUNK_TICKS", 8)
    parts = prints_of(original)
    assert parts.whole.shape == whole.whole.shape
    assert distance(whole.whole, parts.whole) < MAX_DISTANCE


def write(path: Path, frames: list[Image.Image], *, crf: int, size: tuple[int, int], rate: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for n in range(len(frames) * rate // PRINTS_PER_S):
            nearest = min(round(n * PRINTS_PER_S / rate), len(frames) - 1)
            pixels: NDArray[np.uint8] = np.asarray(frames[nearest].resize(size))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def test_a_file_encoded_again_keeps_its_codes(original: list[Image.Image], tmp_path: Path) -> None:
    """Another size, rate and quality; the child returns frames and codes together, and the codes alone."""
    first = write(tmp_path / "a.mp4", original, crf=20, size=SIZE, rate=24)
    second = write(tmp_path / "b.mkv", original, crf=36, size=(426, 240), rate=10)
    with VideoSampler() as sampler:
        a, b = (sampler.sample_with_prints(p, rule="auto", max_frames=64, min_side=100).prints for p in (first, second))
        alone = sampler.prints(first)
        by_rule = sampler.sample_with_prints(first, rule="uniform:3", max_frames=3)
    assert a is not None
    assert b is not None
    assert len(a.whole) == len(b.whole) == 24
    assert a.duration_s == pytest.approx(12)
    assert distance(a.whole, b.whole) < 12
    assert len(by_rule.frames) == 3
    for prints in (alone, by_rule.prints):  # the codes do not depend on the rule for frames
        assert prints is not None
        assert prints.whole.tobytes() == a.whole.tobytes()
        assert {n: r.tobytes() for n, r in prints.regions.items()} == {n: r.tobytes() for n, r in a.regions.items()}


def test_packed_codes_are_the_same_and_smaller() -> None:
    film = np.random.default_rng(0).integers(0, 256, (1, 32), dtype=np.uint8).repeat(600, axis=0)
    film[300:, :4] ^= 7
    prints = VideoPrints(300.0, film, {"core": film[::2], "inner": film[:0]}, film[:, :4])
    packed = prints.pack()
    read = VideoPrints.unpack(300.0, packed)
    np.testing.assert_array_equal(read.whole, film)
    np.testing.assert_array_equal(read.regions["core"], film[::2])
    assert read.regions["inner"].shape == (0, 32)
    assert read.sound is not None
    np.testing.assert_array_equal(read.sound, film[:, :4])
    assert packed["centre"] is None
    assert len(packed["whole"]) < film.nbytes / 20
    assert VideoPrints.unpack(0.0, VideoPrints(0.0, film[:0]).pack()).sound is None


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"x" + data, lambda _: zlib.compress(b"abc")])
def test_damaged_codes_are_refused(damage: Callable[[bytes], bytes]) -> None:
    packed = VideoPrints(1.0, np.ones((2, 32), np.uint8)).pack()
    with pytest.raises(ValueError, match="the codes"):
        VideoPrints.unpack(1.0, {**packed, "whole": damage(packed["whole"])})


def test_codes_that_do_not_compress_are_kept_as_they_are() -> None:
    film = np.random.default_rng(0).integers(0, 256, (9, 32), dtype=np.uint8)
    packed = VideoPrints(4.5, film).pack()
    assert len(packed["whole"]) == film.nbytes + 1
    np.testing.assert_array_equal(VideoPrints.unpack(4.5, packed).whole, film)
    with pytest.raises(ValueError, match="cut off"):
        VideoPrints.unpack(4.5, {**packed, "whole": packed["whole"][:-1]})


def test_a_bomb_is_not_unpacked() -> None:
    packed = VideoPrints(1.0, np.ones((2, 32), np.uint8)).pack()
    with pytest.raises(ValueError, match="cut off"):
        VideoPrints.unpack(1.0, {**packed, "whole": zlib.compress(bytes(MAX_CODES_BYTES + 32))})


def test_a_clip_has_dense_codes_with_several_borders(original: list[Image.Image], tmp_path: Path) -> None:
    plain = write(tmp_path / "a.mp4", original, crf=20, size=SIZE, rate=24)
    bordered = [ImageOps.expand(frame.resize((256, 180)), (32, 0), "white") for frame in original]
    framed = write(tmp_path / "b.mp4", bordered, crf=20, size=(320, 180), rate=24)
    with VideoSampler() as sampler:
        a, b = (sampler.sample_with_prints(p, rule="auto", max_frames=4, crops=True).prints for p in (plain, framed))
    assert a is not None
    assert b is not None
    assert a.crops is not None
    assert b.crops is not None
    assert a.crops.shape[1:] == (12 * CROPS_PER_S, 32)
    of_ticks = a.crops[:, :: CROPS_PER_S // PRINTS_PER_S]
    assert distance(of_ticks[0], a.whole) < 12
    assert min(distance(crop, a.crops[0]) for crop in b.crops) < 48 < distance(b.crops[0], a.crops[0])
