"""Copies of a watched video in a slate, and the time that slates take to leave them out."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import Final

import firstsight
from benchmarks.video_parts.copies import SAMPLES
from benchmarks.video_parts.copy_kinds import KINDS, Helpers, make_copy, make_slideshow

COPIES: Final = (
    *("resize", "re-encode", "colours", "trim", "intro", "speed 0.8", "speed 1.25", "speed 1.5", "mirror", "caption"),
    *("logo", "border", "bars", "centre crop", "screen recording"),
)
SLOTS: Final = 10


def run(footage: Path | None) -> None:
    """Print the figures; sample media alone are used."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips, pictures = SAMPLES / "clips", sorted((SAMPLES / "pictures").rglob("*.jpg"))
        helpers = Helpers(clips / "cat.mp4", pictures[7])
        original = clips / "guitar-lesson.mp4"
        videos = {"original": original}
        videos |= {kind: make_copy(kind, original, helpers, folder / f"{kind}.mp4") for kind in COPIES}
        videos |= {f"clip {path.stem}": path for path in sorted(clips.glob("*.mp4")) if path != original}
        videos |= {
            f"slideshow {n}": make_slideshow(pictures[n : n + 3], 2, folder / f"slides-{n}.mp4")
            for n in range(0, 45, 3)
        }
        with (folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "title", "videos"])
            writer.writerows([item_id, item_id, path] for item_id, path in videos.items())
        db = firstsight.open(folder / "db")
        db.index(folder / "catalogue.csv")
        for label, allow in (("copies allowed", True), ("default", False), ("default again", False)):
            start = time.perf_counter()
            slates = [
                db.recommend(history=["original"], k=SLOTS, seed=seed, allow_copies=allow) for seed in range(SLOTS)
            ]
            seconds = (time.perf_counter() - start) / SLOTS
            shown = [sum(item.item_id in KINDS for item in slate) for slate in slates]
            print(
                f"{label}: {max(shown)} copies of {len(COPIES)} in a slate of {SLOTS}, {1e3 * seconds:.0f} ms a slate"
            )
