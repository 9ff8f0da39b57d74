"""Inserted shots: how many of them keep a frame, and what the scan costs beside a full decode.

Ten shots of a second, or of two, are set into recordings, each a picture of sample_media under a moving camera. x264
writes the video at its default (keyframes at cuts), and with keyframes every 2 s or every 10 s and none at cuts.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np

from benchmarks.video_parts.recordings import (
    RATE,
    Pixels,
    endless_frames,
    moving,
    picture,
    sample_pictures,
    write_video,
)
from firstsight.media.decode.video_answers import answer_video
from firstsight.media.decode.video_decoders import decode
from firstsight.media.frames.frame_rules import DEFAULT_MAX_FRAMES

INSERTED: Final = 10
GAP_S: Final = (6.0, 11.0)
"""Seconds of recording between two inserted shots, drawn evenly."""

ENCODINGS: Final = {
    "x264 default": {"preset": "faster"},
    "keyframes every 2 s": {"preset": "faster", "g": str(2 * RATE), "sc_threshold": "0"},
    "keyframes every 10 s": {"preset": "faster", "g": str(10 * RATE), "sc_threshold": "0"},
}
SHOT_SECONDS: Final = (1.0, 2.0)
_REPEATS: Final = 2


def run(footage: Path | None) -> None:
    """Print the inserted shots that kept a frame, the number of frames, and the cost."""
    print(
        "| encoding | 1 s shots kept | 2 s shots kept | frames a minute | share of a full decode | of one to pictures |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in ENCODINGS.items():
            kept, minutes, frames, shares, picture_shares = [], 0.0, 0, [], []
            for seconds in SHOT_SECONDS:
                rng = np.random.default_rng(int(seconds))
                spans = list(_spans(seconds, rng))
                path = Path(folder) / "inserted.mp4"
                write_video(path, _with_inserted(spans, endless_frames(footage, rng), rng), options)
                scan_s, times = min(_scan(path) for _ in range(_REPEATS))
                full_s = min(_decode_all(path) for _ in range(_REPEATS))
                kept.append(sum(any(a <= t < b for t in times) for a, b in spans))
                minutes += (spans[-1][1] + GAP_S[0]) / 60
                frames += len(times)
                shares.append(scan_s / full_s)
                picture_shares.append(scan_s / _decode_to_pictures(path))
            counts = " | ".join(f"{n} of {INSERTED}" for n in kept)
            print(
                f"| {name} | {counts} | {frames / minutes:.0f} | {np.mean(shares):.2f} "
                f"| {np.mean(picture_shares):.2f} |",
                flush=True,
            )


def _spans(seconds: float, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    start = 0.0
    for _ in range(INSERTED):
        start = round(start + float(rng.uniform(*GAP_S)), 2)
        yield start, start + seconds
        start += seconds


def _with_inserted(
    spans: list[tuple[float, float]], recording: Iterator[Pixels], rng: np.random.Generator
) -> Iterator[Pixels]:
    found = sample_pictures()
    pictures = itertools.cycle([found[n] for n in rng.permutation(len(found))])
    shown = 0
    for start, end in spans:
        first, last = round(start * RATE), round(end * RATE)
        yield from itertools.islice(recording, first - shown)
        yield from moving(picture(next(pictures)), last - first, rng)
        shown = last
    yield from itertools.islice(recording, round(GAP_S[0] * RATE))


def _scan(path: Path) -> tuple[float, list[float]]:
    """Processor seconds of the child's work, fingerprints included, and the times of the selected frames."""
    request = {"path": str(path), "min_side": 224, "max_pixels": 10**8, "rule": "auto", "prints": True}
    began = time.process_time()
    header, _ = answer_video(request | {"max_frames": DEFAULT_MAX_FRAMES}, lambda: None)
    return time.process_time() - began, [frame[0] for frame in header["frames"]]


def _decode_to_pictures(path: Path) -> float:
    """Processor seconds to make an RGB picture of every frame, as the rule all does before it chooses a subset."""
    began = time.process_time()
    decode(path, lambda reader: sum(1 for _ in reader.read(range(len(reader.times)), min_side=224)), max_pixels=10**8)
    return time.process_time() - began


def _decode_all(path: Path) -> float:
    """Processor seconds to decode every frame, without making pictures of them."""
    began = time.process_time()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass
    return time.process_time() - began
