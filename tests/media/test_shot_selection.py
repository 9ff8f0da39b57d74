"""Short shots keep a frame, and a scan stays within its limits of frames, memory and time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_process
from firstsight.media.decode.video_decoders import decode
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.frames import shot_selection
from firstsight.media.frames.frame_rules import FrameRule
from firstsight.media.frames.frame_selection import choose_frames
from firstsight.media.frames.shot_selection import ShotSelection
from firstsight.media.frames.shots import is_blend, summarise
from firstsight.media.frames.video_frames import TICKS_PER_S, Frame, ScannedFrame
from tests.media.decoding_failures import faulty_worker_command

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
SIZE = (192, 108)


def picture(name: str) -> NDArray[np.uint8]:
    with Image.open(PICTURES / name) as opened:
        return np.asarray(opened.convert("RGB").resize(SIZE))


NAMES = sorted(path.name for path in PICTURES.iterdir() if path.name != "broken-teapot.jpg")  # broken on purpose


def write(path: Path, shots: list[tuple[str, float]], options: dict[str, str], *, rate: int = 25) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"} | options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for name, seconds in shots:
            shown = picture(name)
            for n in range(round(seconds * rate)):
                moved = np.roll(shown, n // 4, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "rgb24")))
        container.mux(stream.encode())
    return path


def choose(path: Path, **limits: int) -> list[Frame]:
    rule = FrameRule.parse("auto", **limits)
    return decode(path, lambda reader: choose_frames(reader, rule), max_pixels=10**8, for_scan=True)


@pytest.mark.parametrize("seconds", [1.0, 2.0])
@pytest.mark.parametrize(
    "options", [{}, {"g": "50", "sc_threshold": "0"}, {"g": "250", "sc_threshold": "0"}], ids=["default", "2s", "10s"]
)
def test_inserted_shots_are_kept(options: dict[str, str], seconds: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shots = [("drum-kit.jpg", 3.3)]
    for name in rng.permutation([name for name in NAMES if name != "drum-kit.jpg"])[:6].tolist():
        shots += [(name, seconds), ("drum-kit.jpg", round(float(rng.uniform(2, 5)), 2))]
    frames = choose(write(tmp_path / "a.mp4", shots, options))
    ends = np.cumsum([round(length * 25) / 25 for _, length in shots])
    for place in range(1, len(shots), 2):
        assert any(ends[place - 1] <= frame.time_s < ends[place] for frame in frames), shots[place]


def scanned(pictures: list[NDArray[np.uint8]], first: int = 0) -> Iterator[ScannedFrame]:
    for n, pixels in enumerate(pictures, first):
        yield ScannedFrame(n, n / TICKS_PER_S, pixels, lambda min_side, pixels=pixels: Image.fromarray(pixels))  # type: ignore[misc]


def select(pictures: list[NDArray[np.uint8]], limit: int = 512) -> list[Frame]:
    count = len(pictures)
    selection = ShotSelection(np.arange(count) / TICKS_PER_S, np.array([0]), limit=limit, min_side=None)
    for frame in scanned(pictures):
        selection.add(frame)
    return selection.finish(count / TICKS_PER_S)


def test_a_second_in_ten_minutes_of_many_shots_is_kept() -> None:
    rng = np.random.default_rng(0)
    names = [name for name in NAMES if name != "teddy-bear.jpg"]
    pictures = [picture(name) for name in rng.choice(names, 150) for _ in range(8)]  # 150 shots of 4 s
    pictures[700:702] = [picture("teddy-bear.jpg")] * 2
    frames = select(pictures)
    assert any(np.array_equal(np.asarray(frame.picture), pictures[700]) for frame in frames)
    assert 130 < len(frames) <= 160  # neighbouring shots may show the same picture


def test_the_picture_of_a_look_is_not_its_blended_first_frame() -> None:
    a, b = picture("drum-kit.jpg"), picture("teddy-bear.jpg")
    mixed = (a * 0.25 + b * 0.75).astype(np.uint8)
    frames = select([a, a, a, mixed, b, b, b])
    assert [np.abs(np.asarray(frame.picture).astype(int) - b).mean() < 1 for frame in frames][-1]


def test_a_dissolve_is_no_shot_of_its_own() -> None:
    a, b = picture("drum-kit.jpg"), picture("poster-galaxies.jpg")
    mixed = (a * 0.5 + b * 0.5).astype(np.uint8)
    assert is_blend(summarise(a), summarise(mixed), summarise(b))
    assert not is_blend(summarise(a), summarise(picture("teddy-bear.jpg")), summarise(b))
    frames = select([a, a, a, mixed, b, b, b])
    assert len(frames) == 2
    assert frames[0].end_s == frames[1].start_s


def test_shots_lose_further_looks_before_a_shot_loses_all() -> None:
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 256, (108, 2000, 3), dtype=np.uint8)
    pan = [np.ascontiguousarray(texture[:, 30 * n : 30 * n + 192]) for n in range(60)]  # half a minute
    stills = [picture(name) for name in NAMES[:6] for _ in range(4)]
    frames = select([*pan, *stills], limit=8)
    assert 6 <= len(frames) <= 8
    assert sum(frame.time_s >= 30 for frame in frames) >= 5


def test_kept_pictures_are_limited_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shot_selection, "MAX_KEPT_BYTES", 5 * 3 * SIZE[0] * SIZE[1])
    pictures = [picture(name) for name in NAMES[:40] for _ in range(3)]
    selection = ShotSelection(np.arange(120) / TICKS_PER_S, np.array([0]), limit=512, min_side=None)
    most = 0
    for frame in scanned(pictures):
        selection.add(frame)
        most = max(most, selection._pictures)
    frames = selection.finish(60.0)
    assert len(frames) == 5
    assert most <= 10
    assert frames[-1].time_s - frames[0].time_s > 30  # spread over the video


STILL_WORKING = """
    for _ in range(4):
        time.sleep(0.3)
        child_messages.send(sys.stdout.buffer, {"working": True})"""


def test_a_child_that_reports_may_take_longer_than_the_time_limit() -> None:
    with VideoSampler(command=faulty_worker_command(STILL_WORKING.strip()), timeout_s=0.8, files_per_child=1) as own:
        assert own.sample("bad.mp4")[0].time_s == 0.5  # after 1.2 s


def test_a_child_that_reports_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "MAX_TIMEOUTS", 2)
    for_ever = STILL_WORKING.replace("range(4)", "range(10**6)").strip()
    with VideoSampler(command=faulty_worker_command(for_ever), timeout_s=0.5, files_per_child=1) as own:
        with pytest.raises(MediaError, match=r"bad\.mp4 was not decoded within") as caught:
            own.sample("bad.mp4")
        assert caught.value.reason == "timeout"
