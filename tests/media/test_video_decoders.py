"""The choice of a decoder for a file; frames and times are correct in every container."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode import pillow_decoder, pyav_decoder
from firstsight.media.decode.video_decoders import decode, decoders_for
from firstsight.media.frames.video_frames import VideoReader

RATE = 10
MAX_PIXELS = 1_000_000


def write(path: Path, codec: str, options: dict[str, str], *, frames: int = 36, title: str = "") -> Path:
    """Make a video at 10 frames per second. Frame i has the grey level 7 * i, with a white top left corner."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": title} if title else {})
        stream = container.add_stream(codec, rate=RATE, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            picture = np.full((48, 64, 3), 7 * i, np.uint8)
            picture[:16, :16] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


def shown(pictures: Sequence[Image.Image]) -> list[int]:
    """The frame number that each picture's grey level encodes."""
    return [round(float(np.asarray(picture)[30:, 30:].mean()) / 7) for picture in pictures]


def numbers(reader: VideoReader, indices: Sequence[int]) -> list[int]:
    return shown(list(reader.read(indices)))


X264 = {"bf": "2", "g": "12", "x264-params": "scenecut=0:keyint=12:min-keyint=12"}


@pytest.mark.parametrize(
    ("name", "codec", "options", "decoder"),
    [
        ("a.mp4", "libx264", X264, "decord"),
        ("a.mkv", "libx264", X264, "decord"),
        ("open.mp4", "libx264", {**X264, "x264-params": "open-gop=1:keyint=12:scenecut=0"}, "pyav"),
        ("a.webm", "libvpx-vp9", {"g": "12"}, "decord"),
        ("a.ts", "libx264", X264, "pyav"),
        ("open.ts", "libx264", {**X264, "x264-params": "open-gop=1:keyint=12:scenecut=0"}, "pyav"),
        ("a.m2ts", "libx264", X264, "pyav"),
        ("a.ts", "mpeg2video", {"bf": "2", "g": "12", "b": "8M"}, "pyav"),
        ("a.mpg", "mpeg2video", {"bf": "2", "g": "12", "b": "8M"}, "pyav"),
        ("a.avi", "mpeg4", {"bf": "2", "g": "12", "b": "8M"}, "pyav"),
        ("a.avi", "libx264", X264, "pyav"),
        ("a.flv", "libx264", X264, "pyav"),
        ("a.mp4", "libsvtav1", {"preset": "12", "g": "12"}, "pyav"),
        ("a.wmv", "msmpeg4", {"g": "12", "b": "8M"}, "pyav"),
    ],
)
def test_every_frame_and_its_second_are_right(
    name: str, codec: str, options: dict[str, str], decoder: str, tmp_path: Path
) -> None:
    try:
        path = write(tmp_path / name, codec, options)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this build of PyAV cannot write {codec}: {error}")
    assert decoders_for(path)[0] == decoder

    def check(reader: VideoReader) -> None:
        assert reader.times == pytest.approx(np.arange(36) / RATE, abs=0.002)
        assert reader.duration_s == pytest.approx(3.6, abs=0.11)
        assert numbers(reader, range(36)) == list(range(36))
        for some in ([0, 1, 13, 30], [35], [11, 12, 23, 24], [5, 5, 29]):
            assert numbers(reader, some) == some
        keys = reader.keyframes.tolist()
        assert keys[0] == 0
        assert keys == sorted(set(keys))
        if codec not in ("libsvtav1", "libvpx-vp9"):
            assert len(keys) >= 3

    decode(path, check, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mxf", "mpeg2video"), ("a.dv", "dvvideo"), ("a.m2v", "mpeg2video"), ("a.m1v", "mpeg1video")]
)
def test_every_frame_of_professional_and_disc_formats_is_right(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        for i in range(36):
            grey = np.full((576, 720, 3), 7 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode())
    assert decoders_for(path) == ["pyav"]

    def check(reader: VideoReader) -> None:
        assert reader.times == pytest.approx(np.arange(36) / 25, abs=0.041)  # MPEG video has no times of its own
        assert numbers(reader, range(36)) == list(range(36))
        assert numbers(reader, [5, 5, 29]) == [5, 5, 29]

    decode(path, check, max_pixels=MAX_PIXELS)


def test_keyframes_and_seeking_are_right_in_hevc(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:keyint=12:min-keyint=12:scenecut=0:bframes=4"}
    path = write(tmp_path / "a.mp4", "libx265", options)
    assert decoders_for(path) == ["pyav"]  # decord seeks to the wrong key frames of open groups of pictures
    assert decode(path, lambda reader: reader.keyframes.tolist(), max_pixels=MAX_PIXELS) == [0, 12, 24]
    for some in ([30], [5, 20], [11, 12, 13], [26]):
        assert decode(path, lambda reader, some=some: numbers(reader, some), max_pixels=MAX_PIXELS) == some  # type: ignore[misc]


def test_an_edit_list_is_obeyed(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", "libx264", X264)
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = source.streams.video[0]
        copied = container.add_stream_from_template(stream)
        start = round(0.7 / float(stream.time_base or 1))
        for packet in source.demux(stream):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copied
                container.mux(packet)
    assert decoders_for(path) == ["pyav"]

    def check(reader: VideoReader) -> None:
        assert reader.times == pytest.approx(np.arange(29) / RATE)
        assert numbers(reader, range(29)) == list(range(7, 36))
        assert numbers(reader, [0, 20]) == [7, 27]

    decode(path, check, max_pixels=MAX_PIXELS)


def animation(path: Path, **options: Any) -> Path:
    pictures = [Image.new("RGB", (64, 48), (20 * i, 20 * i, 20 * i)) for i in range(6)]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[100, 200, 300, 100, 100, 100], **options
    )
    return path


@pytest.mark.parametrize(
    ("format", "decoder"), [("GIF", "pyav"), ("WEBP", "pillow"), ("PNG", "pyav"), ("AVIF", "pillow")]
)
def test_animations_count_as_videos(format: str, decoder: str, tmp_path: Path) -> None:
    path = animation(tmp_path / "named.jpg", format=format)
    assert decoders_for(path)[0] == decoder

    def check(reader: VideoReader) -> None:
        assert reader.times == pytest.approx([0, 0.1, 0.3, 0.6, 0.7, 0.8])
        assert reader.duration_s == pytest.approx(0.9)
        greys = [np.asarray(picture).mean() for picture in reader.read([1, 4])]
        assert greys == pytest.approx([20, 80], abs=2)

    decode(path, check, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_a_still_picture_is_no_video(format: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    Image.new("RGB", (64, 48)).save(path, format)
    with pytest.raises(MediaError, match="list it under images") as caught:
        decode(path, lambda reader: None, max_pixels=MAX_PIXELS)
    assert caught.value.reason == "unsupported"


def test_the_exif_data_of_an_animation_turns_it_and_refuses_nothing(tmp_path: Path) -> None:
    """PyAV 18 does not know this side data and raises ValueError."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = animation(tmp_path / "a.png", exif=exif)
    sizes = decode(path, lambda reader: [p.size for p in reader.read(range(6))], max_pixels=MAX_PIXELS)
    assert (len(sizes), sizes[0]) == (6, (48, 64))


@pytest.mark.slow
def test_a_converted_frame_is_freed_at_once(tmp_path: Path) -> None:
    """A reference cycle would keep frames until garbage collection: 64 frames of a large video are gigabytes."""

    def left() -> int:
        # not isinstance: it reads __class__ of objects of other libraries, and some of them warn
        return sum(issubclass(type(thing), av.VideoFrame) for thing in gc.get_objects())

    path = write(tmp_path / "a.ts", "libx264", X264)
    gc.collect()
    before = left()
    gc.disable()
    try:
        with closing(pyav_decoder.open_video(path, max_pixels=MAX_PIXELS)) as reader:
            assert numbers(reader, range(36)) == list(range(36))
        assert left() <= before + 1  # the reader may hold the last frame
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.flv"])
def test_a_title_in_latin_1_refuses_no_file(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, "libx264", X264, title="café au lait")
    data = path.read_bytes()
    assert "café".encode() in data
    path.write_bytes(data.replace("café".encode(), b"caf\xe9 "))
    assert decode(path, lambda reader: numbers(reader, [3, 20]), max_pixels=MAX_PIXELS) == [3, 20]


def test_transparency_is_flattened_on_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (64, 48), (255, 0, 0, 0))
    half.paste((255, 0, 0, 255), (0, 0, 32, 48))
    for name in ("a.gif", "a.webp"):
        other = half.transpose(Image.Transpose.ROTATE_180)
        half.save(tmp_path / name, save_all=True, append_images=[other], disposal=2, duration=100, lossless=True)
        first = decode(tmp_path / name, lambda reader: next(iter(reader.read([0]))), max_pixels=MAX_PIXELS)
        assert (first.mode, first.getpixel((5, 5)), first.getpixel((60, 5))) == ("RGB", (255, 0, 0), (255, 255, 255))


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode())
    assert decode(path, lambda reader: next(iter(reader.read([0]))).size, max_pixels=MAX_PIXELS) == (128, 48)


def quadrants(path: Path, matrix: tuple[int, int, int, int]) -> list[list[int]]:
    """Decode a frame with corner levels 0, 80, 160 and 240 under a display matrix; return its corner levels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        a, b, c, d = matrix
        stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        levels = np.kron(np.array([[0, 80], [160, 240]]), np.ones((24, 32))).astype(np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.stack([levels] * 3, axis=2), "rgb24")))
        container.mux(stream.encode())
    with closing(pyav_decoder.open_video(path, max_pixels=MAX_PIXELS)) as reader:
        picture = np.asarray(next(reader.read([0])).convert("L"))
    height, width = picture.shape
    return [[round(int(picture[y, x]) / 80) * 80 for x in (5, width - 5)] for y in (5, height - 5)]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [[0, 80], [160, 240]]),
        ((0, 1, -1, 0), [[160, 0], [240, 80]]),  # a quarter turn clockwise
        ((-1, 0, 0, -1), [[240, 160], [80, 0]]),
        ((0, -1, 1, 0), [[80, 240], [0, 160]]),
        ((-1, 0, 0, 1), [[80, 0], [240, 160]]),  # mirrored
        ((0, 1, 1, 0), [[0, 160], [80, 240]]),  # transposed
    ],
)
def test_the_display_matrix_turns_and_mirrors(
    matrix: tuple[int, int, int, int], expected: list[list[int]], tmp_path: Path
) -> None:
    assert quadrants(tmp_path / "turned.mp4", matrix) == expected


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.5807), (18, 0.75)])  # BT.2408: diffuse white in PQ and in HLG
def test_hdr_white_is_white_and_grey_is_grey(transfer: int, white: float, tmp_path: Path) -> None:
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gbrp16le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, 9
        pixels = np.zeros((48, 64, 3), np.uint16)
        pixels[:, 32:] = round(65535 * white)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb48le").reformat(format="gbrp16le")
        frame.color_trc, frame.color_primaries = transfer, 9
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert decoders_for(path) == ["pyav"]
    picture = decode(path, lambda reader: next(iter(reader.read([0], min_side=24))), max_pixels=MAX_PIXELS)
    assert picture.size == (32, 24)
    dark, bright = picture.getpixel((2, 12)), picture.getpixel((29, 12))
    assert isinstance(dark, tuple)
    assert isinstance(bright, tuple)
    assert max(dark) <= 2
    assert min(bright) >= 235
    assert max(bright) - min(bright) <= 2


def test_what_is_left_of_a_corrupted_video_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libx264", X264)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux(video=0) if p.pts and p.pts * (p.time_base or 1) == Fraction(18, 10))
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    numbers_left = decode(path, lambda reader: numbers(reader, range(36)), max_pixels=MAX_PIXELS)
    assert len(numbers_left) == 36
    assert numbers_left[:12] == list(range(12))
    assert numbers_left[24:] == list(range(24, 36))


def test_a_frame_above_the_pixel_limit_is_too_large_for_every_decoder(tmp_path: Path) -> None:
    video = write(tmp_path / "a.mp4", "mpeg4", {}, frames=2)
    webp = animation(tmp_path / "a.webp", format="WEBP")
    for opener, path in ((pyav_decoder, video), (pillow_decoder, webp)):
        with pytest.raises(MediaError) as caught:
            opener.open_video(path, max_pixels=64 * 48 - 1)
        assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", X264),
        ("a.mp4", "libx264", {"g": "1"}),
        ("a.ts", "libx264", X264),
        ("a.mpg", "mpeg2video", {"bf": "2", "g": "12", "b": "8M"}),
        ("a.avi", "libx264", X264),
    ],
)
def test_a_scan_gives_the_picture_of_each_tick(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    with closing(pyav_decoder.open_video(write(tmp_path / name, codec, options), max_pixels=MAX_PIXELS)) as reader:
        ticks = list(reader.scan())
    assert [frame.tick for frame in ticks] == list(range(8))
    for frame in ticks:
        assert frame.time_s == pytest.approx(frame.tick / 2, abs=0.13)  # a frame that no other needs may be left out
        assert shown([frame.picture(None), Image.fromarray(frame.thumbnail)]) == [round(frame.time_s * RATE)] * 2
