"""Frames of real videos, and the reasons for which a file is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.frames.video_frames import Frame, uniform_indices
from tests.media.decoding_failures import refusal

if TYPE_CHECKING:
    from tests.media.conftest import MakeVideo


@pytest.fixture(scope="module")
def sampler() -> Iterator[VideoSampler]:
    with VideoSampler() as running:
        yield running


def greys(frames: list[Frame]) -> list[int]:
    return [round(float(np.asarray(frame.picture).mean())) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mp4", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")],
)
def test_frames_come_from_the_centres_of_equal_stretches(
    name: str, codec: str, sampler: VideoSampler, make_video: MakeVideo
) -> None:
    frames = sampler.sample(make_video(name, codec=codec, frames=24), count=8)
    assert [frame.time_s for frame in frames] == pytest.approx([0.1 + 0.3 * i for i in range(8)], abs=0.002)
    assert greys(frames) == pytest.approx([255 * (1 + 3 * i) // 24 for i in range(8)], abs=4)
    assert {(frame.picture.mode, frame.picture.size) for frame in frames} == {("RGB", (64, 48))}


def test_the_frame_nearest_to_a_second_can_be_had_alone(sampler: VideoSampler, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=24)
    for wanted in sampler.sample(path, count=8):
        found = sampler.frame_at(path, wanted.time_s)
        assert found.time_s == wanted.time_s
        assert found.picture.tobytes() == wanted.picture.tobytes()
    assert sampler.frame_at(path, 1e9).time_s == pytest.approx(2.3, abs=0.002)


def test_a_video_with_fewer_frames_gives_each_once(sampler: VideoSampler, make_video: MakeVideo) -> None:
    frames = sampler.sample(make_video("short.mp4", frames=3), count=8)
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2], abs=0.002)


def test_a_video_of_one_frame_gives_it(sampler: VideoSampler, make_video: MakeVideo) -> None:
    assert len(sampler.sample(make_video("one.mp4", frames=1))) == 1


def test_odd_sizes_are_kept(sampler: VideoSampler, make_video: MakeVideo) -> None:
    path = make_video("odd.mkv", size=(65, 47), codec="libx264", pixels="yuv444p")
    assert {frame.picture.size for frame in sampler.sample(path)} == {(65, 47)}


def test_frames_are_shrunk_to_min_side(sampler: VideoSampler, make_video: MakeVideo) -> None:
    path = make_video("large.mp4", size=(320, 240))
    assert {frame.picture.size for frame in sampler.sample(path, min_side=100)} == {(160, 120)}


def test_the_extension_does_not_matter(sampler: VideoSampler, make_video: MakeVideo) -> None:
    path = make_video("clip.mp4").rename(make_video("other.mp4").with_name("clip.jpg"))
    assert len(sampler.sample(path)) == 8


def test_a_relative_path_and_an_unusual_name_work(
    sampler: VideoSampler, make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video("été %03d 'x'.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(sampler.sample("été %03d 'x'.mp4", count=2)) == 2


def test_a_rotated_video_comes_out_upright(sampler: VideoSampler, make_video: MakeVideo) -> None:
    path = make_video("turned.mp4")
    data = path.read_bytes()
    # The track's display matrix, 16.16 fixed point: a quarter turn instead of the identity.
    turned = b"".join(n.to_bytes(4, signed=True) for n in (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
    upright = b"".join(n.to_bytes(4) for n in (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))
    track = data.index(b"tkhd")
    matrix = data.index(upright, track)
    path.write_bytes(data[:matrix] + turned + data[matrix + len(turned) :])
    assert {frame.picture.size for frame in sampler.sample(path)} == {(48, 64)}


def test_a_missing_file_is_missing(sampler: VideoSampler, tmp_path: Path) -> None:
    assert refusal(sampler, tmp_path / "no.mp4").reason == "missing"


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "corrupt", "is empty"),
        (bytes(range(256)) * 16, "corrupt", "is not a video"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isom" + bytes(5000), "corrupt", "broken or truncated"),
        (b"\x1aE\xdf\xa3" + bytes(5000), "corrupt", "broken or truncated"),
        (b"GIF89a" + bytes(500), "corrupt", "broken or truncated"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "unsupported", "is a picture (JPEG)"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "unsupported", "is playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "unsupported", "is playlist"),
        (b"PK\x03\x04" + bytes(500), "unsupported", "is ZIP"),
    ],
)
def test_a_file_that_is_no_video_is_refused_with_the_reason(
    data: bytes, reason: str, words: str, sampler: VideoSampler, tmp_path: Path
) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(data)
    error = refusal(sampler, path)
    assert error.reason == reason
    assert words in str(error)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_video_is_corrupt(kept: float, sampler: VideoSampler, make_video: MakeVideo) -> None:
    path = make_video("cut.mp4")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert refusal(sampler, path).reason == "corrupt"


def test_a_file_with_only_sound_is_unsupported(sampler: VideoSampler, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
        silence.rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    error = refusal(sampler, path)
    assert error.reason == "unsupported"
    assert "only sound" in str(error)


def test_a_frame_above_the_pixel_limit_is_too_large(make_video: MakeVideo) -> None:
    path = make_video("a.mp4")
    with VideoSampler(max_pixels=64 * 48 - 1) as small:
        assert refusal(small, path).reason == "too_large"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit address space")
def test_a_decoder_that_needs_more_memory_than_allowed_costs_the_file(make_video: MakeVideo) -> None:
    path = make_video("vast.mp4", size=(4096, 4096), frames=1)
    with VideoSampler(memory_bytes=480 * 2**20) as small:  # Python 3.13 with PyAV 19 takes 410 MB for a small clip
        # The reason depends on the library that runs out of memory first.
        assert refusal(small, path).reason in ("too_large", "crashed", "corrupt")
        assert len(small.sample(make_video("a.mp4"))) == 8


def test_what_the_decoder_prints_is_not_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isom" + bytes(5000))
    with VideoSampler() as quiet:
        refusal(quiet, path)
    assert capfd.readouterr() == ("", "")


def test_asking_for_no_frames_is_a_programmers_error(sampler: VideoSampler, make_video: MakeVideo) -> None:
    with pytest.raises(ValueError, match="count is 0"):
        sampler.sample(make_video("a.mp4"), count=0)


def test_several_threads_share_a_sampler(sampler: VideoSampler, make_video: MakeVideo) -> None:
    paths = [make_video(f"{n}.mp4", frames=n) for n in range(1, 7)]
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(lambda path: len(sampler.sample(path)), paths))
    assert counts == [1, 2, 3, 4, 5, 6]


@given(total=st.integers(0, 100_000), count=st.integers(1, 300))
def test_uniform_indices_are_distinct_ordered_and_within_the_video(total: int, count: int) -> None:
    indices = uniform_indices(total, count)
    assert len(indices) == min(total, count)
    assert indices == sorted(set(indices))
    assert all(0 <= index < total for index in indices)


def test_uniform_indices_are_the_centres_of_segments() -> None:
    assert uniform_indices(80, 8) == [5, 15, 25, 35, 45, 55, 65, 75]
