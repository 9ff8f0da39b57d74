"""Frames of real recordings, or of sample_media under a moving camera, in an endless row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""(h, w, 3) RGB."""

SAMPLE: Final = Path(__file__).resolve().parents[2] / "sample_media" / "pictures"
SIZE: Final = (640, 360)
RATE: Final = 30
SECONDS_AT_ONCE: Final = 12

_SUFFIXES: Final = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm"})


def sample_pictures() -> list[Path]:
    """The pictures of sample_media that can be decoded."""
    return sorted(path for path in SAMPLE.iterdir() if path.stem != "broken-teapot")


def recordings(footage: Path) -> list[Path]:
    """Videos in a folder and its subfolders, by name; those that cannot be opened are left out."""
    found = []
    for path in sorted(path for path in footage.rglob("*") if path.suffix.lower() in _SUFFIXES):
        try:
            with av.open(str(path)) as container:
                if container.streams.video:
                    found.append(path)
        except av.FFmpegError:
            continue
    return found


def picture(path: Path) -> Image.Image:
    """A picture, scaled to cover the frame."""
    with Image.open(path) as opened:
        rgb = opened.convert("RGB")
    scale = max(SIZE[0] / rgb.width, SIZE[1] / rgb.height) * 1.25
    return rgb.resize((round(rgb.width * scale), round(rgb.height * scale)))


def moving(source: Image.Image, frames: int, rng: np.random.Generator) -> Iterator[Pixels]:
    """A camera that moves over a picture."""
    room = np.array(source.size) - SIZE
    start, end = rng.uniform(0, 1, (2, 2))
    for share in np.linspace(0, 1, frames):
        x, y = (start + share * (end - start)) * room
        yield np.asarray(source.crop((int(x), int(y), int(x) + SIZE[0], int(y) + SIZE[1])))


def endless_frames(footage: Path | None, rng: np.random.Generator) -> Iterator[Pixels]:
    """Frames of 640 x 360 at 30 per second, `SECONDS_AT_ONCE` at most of each recording, then the next one."""
    if footage is not None and (paths := recordings(footage)):
        for path in itertools.cycle(paths):
            yield from itertools.islice(_frames_of(path), SECONDS_AT_ONCE * RATE)
    for path in itertools.cycle(sample_pictures()[::3]):
        yield from moving(picture(path), 7 * RATE, rng)


def _frames_of(path: Path) -> Iterator[Pixels]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = float(stream.average_rate or RATE) / RATE
        due = 0.0
        for number, frame in enumerate(container.decode(stream)):
            while due <= number:
                due += step
                yield np.asarray(frame.reformat(*SIZE, "rgb24").to_ndarray(), np.uint8)


def write_video(path: Path, frames: Iterator[Pixels], options: dict[str, str]) -> Path:
    """Encode frames with x264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path
