"""Selection of frames from real videos with known cuts, by the real decoder; and parsing of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from firstsight.media.decode.video_decoders import decode
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.frames import video_frames
from firstsight.media.frames.frame_rules import MAX_FRAMES_LIMIT, FrameRule
from firstsight.media.frames.frame_selection import choose_frames
from firstsight.media.frames.scanning import scan_by_reading
from firstsight.media.frames.shot_selection import LOOK_GAP_S
from firstsight.media.frames.video_frames import TICKS_PER_S, Frame, ScannedFrame

RATE = 10
Compose = Callable[..., Path]
Scene = tuple[str, float]  # the picture and its seconds


def still(name: str) -> NDArray[np.uint8]:
    """A picture of 96 x 64: "black", "white", or one drawn from its name."""
    if name in ("black", "white"):
        return np.full((64, 96, 3), 255 * (name == "white"), np.uint8)
    rng = np.random.default_rng(list(name.encode()))
    blocks = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return np.asarray(blocks.resize((96, 64), Image.Resampling.BILINEAR))


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    """Write a video of still scenes at 10 frames a second; `keyframes` is the maximum distance of keyframes."""

    def make(
        scenes: Sequence[Scene], *, keyframes: int = 250, at_cuts: bool = True, codec: str = "libx264", rate: int = RATE
    ) -> Path:
        path = tmp_path / f"clip-{len(list(tmp_path.iterdir()))}.mp4"
        options = {"g": str(keyframes), "preset": "ultrafast", "forced-idr": "1"} | (
            {} if at_cuts else {"sc_threshold": "0"}
        )
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            start = 0
            for name, seconds in scenes:
                for n in range(start, start + round(seconds * rate)):
                    frame = av.VideoFrame.from_ndarray(still(name), "rgb24")
                    if at_cuts and n == start:  # like an encoder that detects cuts
                        frame.pict_type = av.video.frame.PictureType.I
                    container.mux(stream.encode(frame))
                start += round(seconds * rate)
            container.mux(stream.encode())
        return path

    return make


def choose(path: Path, rule: str, *, max_frames: int = 64, min_side: int | None = None) -> list[Frame]:
    wanted = FrameRule.parse(rule, max_frames=max_frames)
    return decode(path, lambda reader: choose_frames(reader, wanted, min_side=min_side), max_pixels=10**8)


def scene_at(scenes: Sequence[Scene], second: float) -> int:
    ends = np.cumsum([seconds for _, seconds in scenes])
    return int(np.searchsorted(ends, second + 0.01, side="right"))


def shown(scenes: Sequence[Scene], frames: Sequence[Frame]) -> list[str]:
    return [scenes[scene_at(scenes, frame.time_s)][0] for frame in frames]


CUTS = [("a", 3.0), ("b", 1.5), ("c", 4.0), ("a", 2.0), ("d", 6.0)]


@pytest.mark.parametrize(
    ("keyframes", "at_cuts", "within_s"), [(250, True, 0.06), (20, False, 1.0), (250, False, 1.25)]
)
def test_auto_takes_a_frame_of_every_shot_and_knows_where_it_starts_and_ends(
    keyframes: int, at_cuts: bool, within_s: float, compose: Compose
) -> None:
    frames = choose(compose(CUTS, keyframes=keyframes, at_cuts=at_cuts), "auto")
    assert shown(CUTS, frames) == ["a", "b", "c", "a", "d"]  # one frame for each still shot, every time it is shown
    bounds = [0.0, *np.cumsum([seconds for _, seconds in CUTS])]
    assert [frame.start_s for frame in frames] == pytest.approx(bounds[:-1], abs=within_s)
    assert [frame.end_s for frame in frames] == pytest.approx(bounds[1:], abs=within_s)


def test_a_picture_is_that_of_its_second(compose: Compose) -> None:
    for frame, name in zip(choose(compose(CUTS), "auto"), ["a", "b", "c", "a", "d"], strict=True):
        assert np.abs(np.asarray(frame.picture).astype(int) - still(name)).mean() < 12


def test_auto_drops_black_and_flat_frames(compose: Compose) -> None:
    scenes = [("black", 2.0), ("a", 2.0), ("white", 2.0), ("b", 2.0), ("black", 2.0)]
    assert shown(scenes, choose(compose(scenes), "auto")) == ["a", "b"]


@pytest.mark.parametrize("name", ["black", "white"])
def test_a_video_of_nothing_keeps_one_frame(name: str, compose: Compose) -> None:
    assert len(choose(compose([(name, 3.0)]), "auto")) == 1


@pytest.mark.parametrize("rule", ["auto", "uniform:8", "every:2", "keyframes", "all"])
def test_a_video_of_one_frame_gives_it_by_every_rule(rule: str, compose: Compose) -> None:
    assert [frame.time_s for frame in choose(compose([("a", 0.1)]), rule)] == [0.0]


def test_a_shot_that_changes_gives_several_frames_that_share_it(tmp_path: Path) -> None:
    """A camera moves over a wide picture: there is no cut, but both ends have little in common."""
    ramp = np.linspace(0, 1, 96 * 4)[None, :, None] * np.array([60, 90, 30]) + 80
    texture = 30 * np.sin(np.arange(96 * 4) / 3)[None, :, None] + 30 * np.cos(np.arange(64) / 5)[:, None, None]
    wide = np.clip(ramp + texture, 0, 255).astype(np.uint8)
    path = tmp_path / "pan.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n in range(96):
            seen = np.ascontiguousarray(wide[:, 3 * n : 3 * n + 96])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, "rgb24")))
        container.mux(stream.encode())
    frames = choose(path, "auto")
    assert 2 <= len(frames) <= 9.6 / LOOK_GAP_S + 1
    assert len({(frame.start_s, frame.end_s) for frame in frames}) == 1


def test_auto_takes_no_more_than_the_cap_and_spreads_it_over_the_shots(compose: Compose) -> None:
    scenes = [(f"scene {n}", 1.0 + n / 10 if n % 2 else 2.0 + n / 10) for n in range(12)]
    frames = choose(compose(scenes), "auto", max_frames=6)
    assert shown(scenes, frames) == [f"scene {n}" for n in (1, 3, 5, 7, 9, 11)]


def test_shots_cover_the_video_without_overlap(compose: Compose) -> None:
    frames = choose(compose(CUTS, keyframes=30, at_cuts=False), "auto")
    spans = sorted({(frame.start_s, frame.end_s) for frame in frames})
    assert spans[0][0] == 0.0
    assert spans[-1][1] == pytest.approx(16.5, abs=0.01)
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert all(frame.start_s <= frame.time_s < frame.end_s for frame in frames)  # type: ignore[operator]


class CountingReader:
    """A reader of a very long lecture. It counts the frames that are read."""

    def __init__(self, hours: float, *, keyframe_s: float = 2.0, slide_s: int = 120) -> None:
        self.slide_s = slide_s
        self.times = np.arange(0, hours * 3600, 0.04)
        self.duration_s = hours * 3600.0
        self.keyframes = np.arange(0, len(self.times), int(keyframe_s / 0.04))
        self.read_frames = 0

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image.Image]:
        assert list(indices) == sorted(set(indices))
        for index in indices:
            self.read_frames += 1
            yield Image.fromarray(still(f"slide {int(self.times[index]) // self.slide_s}"))

    def scan(self) -> Iterator[ScannedFrame]:
        return scan_by_reading(self)

    def close(self) -> None:
        pass


def test_an_hour_gives_every_slide_up_to_the_cap() -> None:
    lecture = CountingReader(1)
    frames = choose_frames(lecture, FrameRule())
    assert lecture.read_frames == 3600 * TICKS_PER_S
    assert [int(frame.time_s) // lecture.slide_s for frame in frames] == list(range(30))
    few = choose_frames(CountingReader(0.5), FrameRule(max_frames=5))
    assert np.diff([0.0, *(frame.time_s for frame in few), 1800]).max() < 500  # spread over the whole video


@pytest.mark.parametrize("keyframe_s", [0.04, 10.0])
def test_beyond_a_budget_of_pixels_only_keyframes_are_decoded(
    keyframe_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_frames, "MAX_SCANNED_PIXELS", 60 * 25 * 96 * 64)  # a minute
    lecture = CountingReader(0.25, keyframe_s=keyframe_s, slide_s=7)
    seen = [frame.tick for frame in lecture.scan()]
    step = max(1, round(keyframe_s * TICKS_PER_S))
    assert seen[:120] == list(range(120))
    assert set(np.diff(seen[150:])) == {step}
    assert seen[-1] >= 1800 - step


@pytest.mark.parametrize(("rule", "gap"), [("every:1", 10800 / 50), ("all", 10800 / 50), ("keyframes", 10800 / 50)])
def test_rules_that_name_too_many_frames_are_spread_over_the_video(rule: str, gap: float) -> None:
    lecture = CountingReader(3)
    frames = choose_frames(lecture, FrameRule.parse(rule, max_frames=50))
    assert len(frames) == lecture.read_frames == 50
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx([gap] * 49, abs=2.1)


def test_every_takes_the_frames_nearest_to_its_seconds(compose: Compose) -> None:
    frames = choose(compose([("a", 5.0)]), "every:1.5")
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 1.5, 3.0, 4.5], abs=0.01)
    assert len(choose(compose([("a", 1.0)]), "every:0.001")) == 10
    assert len(choose(compose([("a", 1.0)]), "every:1e12")) == 1


def test_keyframes_are_taken_and_all_takes_every_frame(compose: Compose) -> None:
    path = compose([("a", 4.0)], keyframes=10, at_cuts=False)
    assert [frame.time_s for frame in choose(path, "keyframes")] == pytest.approx([0, 1, 2, 3], abs=0.01)
    assert len(choose(path, "all")) == 40


def test_frames_are_shrunk(compose: Compose) -> None:
    assert {frame.picture.size for frame in choose(compose(CUTS), "auto", min_side=32)} == {(48, 32)}


def test_the_decoding_child_takes_rules_and_gives_shots(compose: Compose) -> None:
    path = compose(CUTS)
    with VideoSampler() as sampler:
        assert [
            (frame.time_s, frame.start_s, frame.end_s, frame.picture.tobytes())
            for frame in sampler.sample(path, rule="auto")
        ] == [(frame.time_s, frame.start_s, frame.end_s, frame.picture.tobytes()) for frame in choose(path, "auto")]
        assert len(sampler.sample(path, rule="all", max_frames=5)) == 5
        with pytest.raises(ValueError, match="'some'"):
            sampler.sample(path, rule="some")


BAD_RULES = """
Auto auto:3 uniform uniform: uniform:0 uniform:-1 uniform:2.5 uniform:² every every:0 every:-1 every:nan every:inf
every:x keyframes:2 all: 8
"""


@pytest.mark.parametrize("text", ["", *BAD_RULES.split()])
def test_a_bad_rule_is_named_with_what_it_may_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"use auto, uniform:N .* every:SECONDS .*, keyframes or all") as caught:
        FrameRule.parse(text)
    assert repr(text) in str(caught.value)


def test_uniform_and_max_frames_may_not_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="uniform:600 is more than max frames, 512"):
        FrameRule.parse("uniform:600")
    assert FrameRule.parse("uniform:600", max_frames=600).frame_limit == 600


@pytest.mark.parametrize("most", [0, -1, MAX_FRAMES_LIMIT + 1])
def test_max_frames_has_bounds(most: int) -> None:
    with pytest.raises(ValueError, match=f"max frames is {most}"):
        FrameRule.parse("auto", max_frames=most)


@given(st.floats(1e-9, 1e9), st.integers(1, 64))
def test_a_rule_reads_back_from_its_text(seconds: float, count: int) -> None:
    for text in (f"every:{seconds!r}", f"uniform:{count}", "auto", "keyframes", "all"):
        rule = FrameRule.parse(text)
        assert FrameRule.parse(str(rule)) == rule
