"""Measure decoding: exact frames, hostile files, memory leaks, and pictures per second.

    python -m benchmarks.media exact      # each frame and its time, compared with ffmpeg's full decode, by container
    python -m benchmarks.media hostile    # about 300 hostile files among good ones: hangs, reasons, speed, memory
    python -m benchmarks.media leak       # 500 videos in a row: memory of the parent, replaced children
    python -m benchmarks.media pictures   # decode + preprocess against plain Pillow; child processes against threads

`exact` needs the ffmpeg and ffprobe commands. Figures are medians of runs made in turn.
"""

from __future__ import annotations

import argparse
import collections
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from benchmarks.hostile_media import make_hostile, picture, video
from benchmarks.pipeline import goal
from benchmarks.video_samples import make_videos
from firstsight.errors import MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.pictures import open_picture

SIDE = 260  # side of an encoder's input in pixels; pictures are decoded to at least three times that
TIMEOUT_S = 10.0
SAME_LEVELS = 3.0  # mean difference, of 255, below which pictures are the same frame; allows for dithering of 10 bits
SAME_S = 0.002
REASONS = {  # files that cannot be exact, and the reason
    "flipped-bytes.mp4": "a decoder's filling for missing data depends on where it started",
    "truncated.mp4": "the last frame is incomplete, and a decoder's filling depends on where it started",
}


def exact(work: Path) -> bool:
    """Compare pictures and times of all frames with ffmpeg's full decode."""
    from firstsight.media.decode import video_decoders

    good = True
    for path in make_videos(work / "videos"):
        names: list[str] = []

        def all_frames(reader: object, names: list[str] = names) -> tuple[np.ndarray, list[np.ndarray]]:
            names.append(type(reader).__name__.removesuffix("Reader").lower())
            times = reader.times  # type: ignore[attr-defined]
            # backwards in strides, so that most frames need a seek
            frames: dict[int, np.ndarray] = {}
            for start in reversed(range(7)):
                indices = list(range(start, len(times), 7))
                pictures = reader.read(indices)  # type: ignore[attr-defined]
                frames.update(zip(indices, map(np.asarray, pictures), strict=True))
            return times, [frames[n] for n in range(len(times))]

        try:
            times, frames = video_decoders.decode(path, all_frames, max_pixels=10**8)
        except MediaError as error:
            print(f"{path.name:24} not decoded: {error.reason}: {error}")
            good = False
            continue
        reference, seconds = _full_decode(path, frames[0].shape)
        if path.name == "animation.webp":  # ffmpeg reads no animated WebP; this one is a lossless copy
            reference, seconds = _full_decode(path.with_name("animation.png"), frames[0].shape)
        total = max(len(reference), len(frames))
        right = [
            _is_frame(frame, reference, number) and abs(at - second) < SAME_S
            for number, (frame, at, second) in enumerate(zip(frames, times, seconds, strict=False))
        ]
        share = sum(right) / total
        excuse = "" if share == 1 else f"  {REASONS.get(path.name, 'UNEXPLAINED')}"
        good &= share == 1 or path.name in REASONS
        print(f"{path.name:24} {names[-1]:7} {total:4} frames  {100 * share:6.2f} %{excuse}")
    return good


def _is_frame(frame: np.ndarray, reference: np.ndarray, number: int) -> bool:
    """Whether a picture is frame `number`: nearly equal to it, and no nearer to a neighbour."""
    first = max(0, number - 5)
    apart = [np.abs(frame.astype(int) - other).mean() for other in reference[first : number + 6]]
    return bool(number < len(reference) and apart[number - first] == min(apart) < SAME_LEVELS)


def _full_decode(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[float]]:
    """All frames as ffmpeg decodes them, and their times in seconds from the first frame."""
    show = ["ffmpeg", "-v", "info", "-nostdin", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    done = subprocess.run([*show, "-vf", "showinfo", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True)
    pixels = np.frombuffer(done.stdout, np.uint8)
    size = int(np.prod(shape))
    seconds = [
        float(line.split(b"pts_time:")[1].split()[0]) for line in done.stderr.splitlines() if b"pts_time:" in line
    ]
    return pixels[: pixels.size // size * size].reshape(-1, *shape), [s - seconds[0] for s in seconds]


def hostile(work: Path) -> bool:
    """Decode hostile files among good ones, as an index run does."""
    files = make_hostile(work / "hostile")
    good = []
    for number in range(len(files)):
        path = work / f"good-{number % 40}.{'mp4' if number % 4 == 0 else 'jpg'}"
        if not path.exists():
            data = video(path, "libx264") if path.suffix == ".mp4" else picture("JPEG", (1600, 1200), number)
            path.write_bytes(data)
        good.append((path, "video" if path.suffix == ".mp4" else "picture"))
    reasons: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    with PictureDecoder(timeout_s=TIMEOUT_S) as pictures, VideoSampler(timeout_s=TIMEOUT_S) as videos:

        def decode_file(file: tuple[Path, str]) -> tuple[str, float]:
            began = time.perf_counter()
            try:
                if file[1] == "picture":
                    pictures.open(file[0].read_bytes(), min_side=3 * SIDE)
                else:
                    videos.sample(file[0], min_side=3 * SIDE)
                return "decoded", time.perf_counter() - began
            except MediaError as error:
                return error.reason, time.perf_counter() - began

        with ThreadPoolExecutor(2) as pool, _peak_memory() as peak:
            list(pool.map(decode_file, good[:8]))  # start the children
            clean = [sum(seconds for _, seconds in pool.map(decode_file, good)) for _ in range(2)]
            mixed: list[tuple[str, float]] = []
            for bad, fine in zip(files, good, strict=True):
                mixed += pool.map(decode_file, [bad, fine])
            spoiled = sum(seconds for _, seconds in mixed[1::2])
            for (reason, seconds), (path, medium) in zip(mixed[::2], files, strict=True):
                reasons[reason] += 1
                slowest = max(slowest, seconds)
                if reason in ("timeout", "crashed"):
                    print(f"{path.name} as a {medium}: {reason} after {seconds:.1f} s")
    print(f"{len(files)} hostile files: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))
    lost = sum(reason != "decoded" for reason, _ in mixed[1::2])
    met = [goal("good files lost", lost, 1), goal("slowest file, seconds", slowest, TIMEOUT_S + 2)]
    met.append(goal("good files' seconds among hostile ones / alone", spoiled / statistics.median(clean), 1.1))
    met.append(goal("peak memory of parent and children, GB", peak[0] / 2**30, 4))
    return all(met)


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """The peak of the resident memory of this process and its children, sampled ten times per second."""
    peak, done, this = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not done.wait(0.1):
            total = 0
            for process in (this, *this.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def leak(work: Path) -> bool:
    """Sample 500 videos in a row by one sampler."""
    paths = [work / f"leak-{n}.mp4" for n in range(10)]
    for path in paths:
        video(path, "libx264", frames=100)
    this = psutil.Process()
    pids: set[int] = set()
    with VideoSampler(workers=1) as sampler:
        for path in paths:
            sampler.sample(path)
        before = this.memory_info().rss
        for number in range(500):
            sampler.sample(paths[number % len(paths)])
            pids.update(sampler.child_pids)
        growth = this.memory_info().rss - before
    print(f"children used: {len(pids)}")
    return all([goal("growth of the parent, MB", growth / 2**20, 50), goal("children", len(pids), 3, at_least=True)])


def pictures(work: Path) -> bool:
    """Compare decoding and preprocessing with plain Pillow, and decoding in children with threads of this process."""
    from torchvision.transforms.v2 import InterpolationMode

    from firstsight.encoders.families.picture_transform import SquareTransform
    from firstsight.encoders.starter.starter_encoder import StarterEncoder

    transform = SquareTransform(
        (SIDE, SIDE), "shortest", SIDE, InterpolationMode.BICUBIC, round, (0.0,) * 3, (1.0,) * 3
    )
    encoder = StarterEncoder()

    def features(pixels: np.ndarray) -> np.ndarray:
        outputs = encoder.picture_outputs(pixels)[0]
        return np.asarray(outputs / np.linalg.norm(outputs, axis=1, keepdims=True))

    def plain(path: Path) -> np.ndarray:
        whole = Image.open(path).convert("RGB")
        scale = SIDE / min(whole.size)
        small = whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.BICUBIC)
        left, top = (small.width - SIDE) // 2, (small.height - SIDE) // 2
        return np.asarray(small.crop((left, top, left + SIDE, top + SIDE)))[None]

    met = []
    with PictureDecoder() as isolated, ThreadPoolExecutor(2) as pool:
        for size, count in (((800, 800), 64), ((3000, 2000), 24)):
            paths = [work / f"{size[0]}-{number}.jpg" for number in range(8)]
            for number, path in enumerate(paths):
                path.write_bytes(_photograph(size, number))
            repeated = [paths[n % 8] for n in range(count)]

            def ours(path: Path) -> np.ndarray:
                return transform([open_picture(path, min_side=3 * SIDE)])[0]

            cosines = (
                features(np.concatenate([*map(plain, paths)])) * features(np.concatenate([*map(ours, paths)]))
            ).sum(1)
            methods: dict[str, Callable[[Path], object]] = {
                "plain": plain,
                "ours": ours,
                "isolated": lambda path: transform([isolated.open(path.read_bytes(), min_side=3 * SIDE)]),
                "decoding": lambda path: open_picture(path, min_side=3 * SIDE),
                "isolated decoding": lambda path: isolated.open(path.read_bytes(), min_side=3 * SIDE),
            }
            rates = _in_turn(pool, methods, repeated)
            print(f"{size[0]} x {size[1]}: " + ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items()))
            met.append(goal("  ours / plain", rates["ours"] / rates["plain"], 2, at_least=True))
            met.append(goal("  isolated / plain", rates["isolated"] / rates["plain"], 2, at_least=True))
            met.append(goal("  lowest cosine to plain", float(cosines.min()), 0.9995, at_least=True))
            met.append(
                goal("  isolated / in-process", rates["isolated decoding"] / rates["decoding"], 0.9, at_least=True)
            )
    return all(met)


def _in_turn(
    pool: ThreadPoolExecutor, methods: dict[str, Callable[[Path], object]], paths: list[Path]
) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in methods}
    for round_ in range(4):  # the first round is a warm-up
        for name, method in methods.items():
            began = time.perf_counter()
            list(pool.map(method, paths))
            if round_:
                rates[name].append(len(paths) / (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in rates.items()}


def _photograph(size: tuple[int, int], seed: int) -> bytes:
    """A JPEG file of this size, made from a sample picture."""
    import io

    from benchmarks.catalogues import BROKEN, SAMPLE_PICTURES

    originals = [path for path in sorted(SAMPLE_PICTURES.iterdir()) if path.name != BROKEN]
    buffer = io.BytesIO()
    with Image.open(originals[seed * 5 % len(originals)]) as original:
        original.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


MEASURES: dict[str, Callable[[Path], bool]] = {"exact": exact, "hostile": hostile, "leak": leak, "pictures": pictures}


def main() -> None:
    """Run the measures named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*MEASURES, "all"])
    parser.add_argument("--work", type=Path, help="folder for the files that are made; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = (options.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        met = []
        for name in MEASURES if options.what == "all" else [options.what]:
            print(f"## {name}", flush=True)
            met.append(MEASURES[name](work))
    raise SystemExit(not all(met))


if __name__ == "__main__":
    main()
