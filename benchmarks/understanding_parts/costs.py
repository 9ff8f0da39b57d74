"""Processor time of an index run with facts over one without, by pairs of runs in processes of their own.

Each run indexes the same pictures into a new database, with `starter`, in a fresh process; the time is that of the
process and its decoding children. Runs with and without a fact alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from firstsight.extras import is_installed

PAIRS: Final = 3
MOST_PICTURES: Final = 200

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "colours and language (the default)": {"colours": True, "detect_language": True},
    "with quality": {"colours": True, "detect_language": True, "quality": True},
    "with text in pictures": {"colours": True, "detect_language": True, "ocr": True},
}
NOTHING: Final[dict[str, Any]] = {"colours": False, "detect_language": False, "quality": False, "ocr": False}

RUN: Final = """
import json, resource, sys
import firstsight
pictures, db, facts = json.loads(sys.argv[1])
rows = [{"item_id": str(n), "title": f"Picture {n}", "images": [path]} for n, path in enumerate(pictures)]
report = firstsight.open(db, policy=firstsight.MediaPolicy(allow_anywhere=True)).index(rows, **facts)
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = sum(each.ru_utime + each.ru_stime for each in used)
print(json.dumps({"seconds": seconds, "pictures": report.counts.pictures, "failed": report.counts.failed_facts}))
"""


def run(data: Path) -> None:
    """Print the ratios for the pictures of a folder, or for the sample media without one."""
    folder = data if any(data.rglob("*.jpg")) else Path(__file__).parents[2] / "sample_media"
    pictures = [str(path.resolve()) for path in sorted(folder.rglob("*.jpg"))[:MOST_PICTURES]]
    print(f"{len(pictures)} pictures, {PAIRS} pairs of runs each")
    print("facts | processor seconds without | with | ratio (median of pairs) | ms a picture | failed facts")
    print("--- | --- | --- | --- | --- | ---")
    for name, facts in SETTINGS.items():
        if facts.get("ocr") and not is_installed("rapidocr"):
            print(f"{name} | the extra ocr is not installed")
            continue
        pairs = [(_index(pictures, NOTHING), _index(pictures, NOTHING | facts)) for _ in range(PAIRS)]
        without, full = (median(each["seconds"] for each in side) for side in zip(*pairs, strict=True))
        ratio = median(after["seconds"] / before["seconds"] for before, after in pairs)
        extra = 1_000 * (full - without) / max(1, pairs[0][0]["pictures"])
        failed = pairs[0][1]["failed"]
        print(f"{name} | {without:.1f} | {full:.1f} | {ratio:.2f} | {extra:.1f} | {failed}", flush=True)


def _index(pictures: list[str], facts: dict[str, Any]) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="firstsight-") as folder:
        job = json.dumps([pictures, f"{folder}/db", facts])
        done = subprocess.run([sys.executable, "-c", RUN, job], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
