"""What a video costs: seconds of video per processor second, speed of an index run, and bytes of fingerprints."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.video_parts.recordings import SAMPLE, recordings
from firstsight.media.decode.video_answers import answer_video
from firstsight.media.frames.frame_rules import DEFAULT_MAX_FRAMES
from firstsight.media.sound_prints import as_sound_codes
from firstsight.media.video_prints import REGIONS, VideoPrints, as_codes

MINUTES = 10_000
_REPEATS = 2


def run(footage: Path | None) -> None:
    """Print the figures of each video, and those of an index run over all of them with the starter encoder."""
    paths = [*sorted((SAMPLE.parent / "clips").glob("*.mp4")), *(recordings(footage) if footage else [])]
    print("| video | seconds | frames | seconds of video per processor second | bytes of fingerprints a minute |")
    print("|---|---|---|---|---|")
    total_s = total_cpu_s = total_bytes = 0.0
    for path in paths:
        cpu_s, duration_s, frames, size = min(_scan(path) for _ in range(_REPEATS))
        total_s, total_cpu_s, total_bytes = total_s + duration_s, total_cpu_s + cpu_s, total_bytes + size
        print(
            f"| {path.name} | {duration_s:.0f} | {frames} | {duration_s / cpu_s:.0f} | {60 * size / duration_s:,.0f} |"
        )
    print(f"\nall: {total_s / total_cpu_s:.0f} s of video per processor second")
    print(f"fingerprints of {MINUTES:,} minutes: {60 * MINUTES * total_bytes / total_s / 1e6:.0f} MB")
    _index(paths, total_s)


def _scan(path: Path) -> tuple[float, float, int, int]:
    """Processor seconds of the child's work, seconds of the video, number of frames, and bytes of the fingerprints."""
    request = {"path": str(path), "min_side": 224, "max_pixels": 10**8, "rule": "auto", "prints": True}
    began = time.process_time()
    header, body = answer_video(request | {"max_frames": DEFAULT_MAX_FRAMES}, lambda: None)
    cpu_s = time.process_time() - began
    duration_s, sizes = header["prints"]
    codes = dict(zip(sizes, body[len(header["frames"]) :], strict=True))
    regions = {name: as_codes(codes[name]) for name in REGIONS if name in codes}
    prints = VideoPrints(duration_s, as_codes(codes["whole"]), regions, as_sound_codes(codes.get("sound")))
    packed = prints.pack()
    stored = (packed["whole"], packed["centre"], packed["core"], packed["strip"], packed["inner"], packed["sound"])
    return cpu_s, duration_s, len(header["frames"]), sum(len(one) for one in stored if one is not None)


def _index(paths: list[Path], total_s: float) -> None:
    import firstsight

    with tempfile.TemporaryDirectory() as folder:
        media = Path(folder) / "media"
        media.mkdir()
        for number, path in enumerate(paths):
            shutil.copy(path, media / f"{number}-{path.name}")
        began, cpu = time.monotonic(), os.times()
        report = firstsight.open(Path(folder) / "db").index(media)
        seconds, after = time.monotonic() - began, os.times()
        cpu_s = sum(after[:4]) - sum(cpu[:4])
        print(
            f"index with the starter encoder: {report.counts.frames} frames of {total_s:.0f} s in {seconds:.0f} s"
            f" ({cpu_s:.0f} processor seconds): {total_s / seconds:.0f} s of video per second"
        )
