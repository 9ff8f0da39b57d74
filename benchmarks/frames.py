"""Compare frames selected by `auto`, uniform:8 and keyframes on composed clips with known cuts.

    python -m benchmarks.frames [--seeds 1 2 3] [--seconds 60]

Each clip is a minute of shots of 2 to 12 seconds: pictures of sample_media and photographs of scikit-image under a
moving camera with grain, with an occasional second of black between two shots. x264 writes it in three ways: with
keyframes at detected cuts, every 2 seconds, and every 10 seconds. For each rule the script prints the share of shots
with at least one frame, the number of frames, the number of black frames, the processor time of decoding and selecting
as a share of decoding every frame, and for `auto` the distance of shot starts from the true cuts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.media.decode.video_decoders import decode
from firstsight.media.frames.frame_rules import FrameRule
from firstsight.media.frames.frame_selection import choose_frames
from firstsight.media.frames.video_frames import Frame, VideoReader

SAMPLE: Final = Path(__file__).parent.parent / "sample_media" / "pictures"
PHOTOGRAPHS: Final = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "brick", "grass", "gravel", "moon")
SIZE: Final = (480, 270)
RATE: Final = 25
BLACK: Final = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
GOPS: Final = {
    "keyframes at cuts": {"g": "250"},
    "every 2 s": {"g": "50", "sc_threshold": "0"},
    "every 10 s": {"g": "250", "sc_threshold": "0"},
}
RULES: Final = ("auto", "uniform:8", "keyframes")


@dataclass(frozen=True)
class Clip:
    """A composed clip and its known shots."""

    path: Path
    shots: list[tuple[float, float]]  # start and end of every shot that is not black, in seconds


def compose(folder: Path, seed: int, seconds: float) -> dict[str, Clip]:
    """Write a clip with each setting in GOPS. The same seed gives the same shots."""
    rng = np.random.default_rng(seed)
    shots: list[tuple[float, float]] = []
    paths = {name: folder / f"{seed}-{n}.mp4" for n, name in enumerate(GOPS)}
    with ExitStack() as stack:
        outputs = []
        for name, path in paths.items():
            container = stack.enter_context(av.open(str(path), "w"))
            options = {"preset": "veryfast", "crf": "24", **GOPS[name]}
            stream = container.add_stream("libx264", rate=RATE, options=options)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = SIZE
            stream.pix_fmt = "yuv420p"
            outputs.append((container, stream))
        shown = 0
        for still in _stills(rng):
            if shown / RATE >= seconds:
                break
            frames = int(RATE * np.clip(rng.lognormal(1.5, 0.5), 2, 12))
            shots.append((shown / RATE, (shown + frames) / RATE))
            black = RATE if rng.random() < 0.15 else 0
            shown += frames + black
            for picture in chain(_camera(still, frames, rng), repeat(BLACK, black)):
                for container, stream in outputs:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        for container, stream in outputs:
            container.mux(stream.encode())
    return {name: Clip(path, shots) for name, path in paths.items()}


def _stills(rng: np.random.Generator) -> Iterator[Image.Image]:
    """Pictures in random order, without similar neighbours: photographs fill the frame, drawings are on a wall."""
    from skimage import data

    size = (SIZE[0] * 3 // 2, SIZE[1] * 3 // 2)
    files = sorted(file for file in SAMPLE.iterdir() if file.suffix in {".jpg", ".png", ".webp"})
    while True:
        photographs = [str(name) for name in rng.permutation(PHOTOGRAPHS)]
        drawings = [files[n] for n in rng.permutation(len(files))[: len(photographs)]]
        for name, file in zip(photographs, drawings, strict=True):
            photograph = Image.fromarray(np.asarray(getattr(data, name)())).convert("RGB")
            side = max(size[0] / photograph.width, size[1] / photograph.height)
            wide = photograph.resize((int(photograph.width * side) + 1, int(photograph.height * side) + 1))
            yield wide.crop((0, (wide.height - size[1]) // 2, size[0], (wide.height - size[1]) // 2 + size[1]))
            try:
                drawing = Image.open(file).convert("RGB")
            except OSError:  # one sample picture is broken on purpose
                continue
            wall = Image.new("RGB", size, tuple(int(c) for c in rng.integers(60, 230, 3)))
            drawing.thumbnail((size[1], size[1]))
            wall.paste(drawing, ((size[0] - drawing.width) // 2, (size[1] - drawing.height) // 2))
            yield wall


def _camera(still: Image.Image, frames: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Frames of a still picture, with grain, from a camera that moves from one box to another."""
    ends = rng.random((2, 3))
    grains = rng.normal(0, 3, (8, SIZE[1], SIZE[0], 1))
    for n in range(frames):
        x, y, zoom = ends[0] + (ends[1] - ends[0]) * n / frames
        width = still.width * (0.65 + 0.3 * zoom)
        height = width * SIZE[1] / SIZE[0]
        left, top = x * (still.width - width), y * (still.height - height)
        seen = still.resize(SIZE, Image.Resampling.BILINEAR, (left, top, left + width, top + height))
        yield np.clip(np.asarray(seen) + grains[n % len(grains)], 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Figures:
    """Results of a rule on a clip."""

    covered: float
    frames: int
    wasted: int
    seconds: float
    offset_s: float | None


def measure(clip: Clip, rule: FrameRule) -> Figures:
    """Select frames by a rule and compare them with the known shots."""
    started = time.process_time()
    frames = decode(
        clip.path,
        lambda reader: choose_frames(reader, rule, min_side=224),
        max_pixels=10**8,
        for_scan=rule.kind == "auto",
    )
    seconds = time.process_time() - started
    middles = [frame.time_s + 0.5 / RATE for frame in frames]
    covered = [any(a < second < b for second in middles) for a, b in clip.shots]
    black = sum(not any(a < second < b for a, b in clip.shots) for second in middles)
    cuts = np.array([bound for shot in clip.shots for bound in shot])
    starts = [frame.start_s for frame in frames if frame.start_s is not None]
    offset = float(np.mean([np.abs(cuts - start).min() for start in dict.fromkeys(starts)])) if starts else None
    return Figures(sum(covered) / len(covered), len(frames), black, seconds, offset)


def everything(clip: Clip) -> float:
    """Processor seconds to decode and shrink every frame."""

    def drain(reader: VideoReader) -> list[Frame]:
        for _ in reader.read(range(len(reader.times)), min_side=224):
            pass
        return []

    started = time.process_time()
    decode(clip.path, drain, max_pixels=10**8)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    print(f"seeds {options.seeds}, {options.seconds:g} s each; medians over the clips")
    print("gop | rule | shots covered | frames | of them black | processor, share of all | start off by, s")
    with tempfile.TemporaryDirectory() as folder:
        composed = [compose(Path(folder), seed, options.seconds) for seed in options.seeds]
        for name in GOPS:
            clips = [by_name[name] for by_name in composed]
            full = [everything(clip) for clip in clips]
            for text in RULES:
                results = [measure(clip, FrameRule.parse(text)) for clip in clips]
                offsets = [figures.offset_s for figures in results if figures.offset_s is not None]
                print(
                    f"{name} | {text} | {statistics.median(f.covered for f in results):.2f} "
                    f"| {statistics.median(f.frames for f in results):g} of {[len(c.shots) for c in clips]} shots "
                    f"| {sum(f.wasted for f in results)} "
                    f"| {statistics.median(f.seconds / all_ for f, all_ in zip(results, full, strict=True)):.2f} "
                    + (f"| {statistics.median(offsets):.2f}" if offsets else "|"),
                    flush=True,
                )


if __name__ == "__main__":
    main()
