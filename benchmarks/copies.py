"""Typical copies of pictures and videos, for `benchmarks.duplicates`."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

RATE = 10
SIZE = (320, 240)

Pixels = NDArray[np.uint8]


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def cropped(picture: Image.Image, share: float) -> Image.Image:
    """Remove a share of the width and of the height, different amounts from opposite sides."""
    width, height = picture.size
    return picture.crop(
        (
            int(width * share * 0.4),
            int(height * share * 0.6),
            int(width * (1 - share * 0.6)),
            int(height * (1 - share * 0.4)),
        )
    )


def shrunk(picture: Image.Image, factor: int) -> Image.Image:
    return picture.resize((picture.width // factor, picture.height // factor), Image.Resampling.LANCZOS)


PICTURE_COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda picture: shrunk(picture, 2),
    "a quarter of the size": lambda picture: shrunk(picture, 4),
    "JPEG quality 30": lambda picture: jpeg(picture, 30),
    "JPEG quality 10": lambda picture: jpeg(picture, 10),
    "20 % brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped by 5 %": lambda picture: cropped(picture, 0.05),
    "cropped by 10 %": lambda picture: cropped(picture, 0.10),
}


@dataclass(frozen=True)
class Video:
    """A video as frames at 10 per second: (n, 240, 320, 3) uint8."""

    frames: Pixels

    def __len__(self) -> int:
        return len(self.frames)


def compose(pictures: Sequence[Path], rng: random.Random) -> Video:
    """Make a video with a shot of 2 to 5 seconds for each picture, under a moving camera."""
    return Video(np.concatenate([np.stack(list(_shot(path, rng.randrange(20, 50), rng))) for path in pictures]))


def _shot(path: Path, frames: int, rng: random.Random) -> Iterator[Pixels]:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((640, 640))
    start, end = ((rng.uniform(0, 0.35), rng.uniform(0, 0.35), rng.uniform(0.6, 0.65)) for _ in range(2))
    for n in range(frames):
        left, top, side = (a + (b - a) * n / frames for a, b in zip(start, end, strict=True))
        box = (left * picture.width, top * picture.height, (left + side) * picture.width, (top + side) * picture.height)
        yield np.asarray(picture.resize(SIZE, Image.Resampling.BILINEAR, box=box))


def black(seconds: float) -> Pixels:
    return np.zeros((int(seconds * RATE), SIZE[1], SIZE[0], 3), np.uint8)


def write(
    path: Path, frames: Pixels, *, codec: str = "libx264", bit_rate: int = 600_000, size: tuple[int, int] = SIZE
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = bit_rate
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24").reformat(*size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def sped_up(frames: Pixels, factor: float) -> Pixels:
    return np.asarray(frames[np.arange(0, len(frames) - 1, factor).astype(int)])


def write_video_copies(folder: Path, name: str, video: Video, intro: Pixels) -> dict[str, tuple[str, float]]:
    """Write copies of a video. Return for each kind the file and the second of the original at which it begins."""
    frames, n = video.frames, len(video)
    margin = 6
    cut = frames[:, margin : SIZE[1] - margin, margin : SIZE[0] - margin]
    begin = int(n * 0.25)
    middle = int(n * 0.4)
    made: dict[str, tuple[Pixels, float, dict[str, object]]] = {
        "half the size": (frames, 0.0, {"size": (160, 120), "bit_rate": 100_000}),
        "other codec, low bit rate": (frames, 0.0, {"codec": "mpeg4", "bit_rate": 150_000}),
        "cropped by 5 %": (cut, 0.0, {}),
        "trimmed to 60 %": (frames[begin : begin + int(n * 0.6)], begin / RATE, {}),
        "a clip of 8 s": (frames[middle : middle + 80], middle / RATE, {}),
        "with an intro of 4 s": (np.concatenate([intro, frames]), -len(intro) / RATE, {}),
        "1.1 times as fast": (sped_up(frames, 1.1), 0.0, {}),
        "mirrored": (frames[:, :, ::-1], 0.0, {}),
    }
    files = {}
    for number, (kind, (pixels, offset, settings)) in enumerate(made.items()):
        file = f"{name}-copy{number}.mp4"
        write(folder / file, pixels, **settings)  # type: ignore[arg-type]
        files[kind] = (file, offset)
    return files
