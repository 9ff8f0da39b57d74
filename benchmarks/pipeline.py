"""Index runs compared with the bare encoder: efficiency, memory, repeated runs, start-up time.

    python -m benchmarks.pipeline efficiency     # time of the bare encoder over time of an index run, on equal batches
    python -m benchmarks.pipeline scale          # peak memory at 20,000 items minus that at 2,000; a repeated run
    python -m benchmarks.pipeline start          # --help, and the steps of a first text search

Figures are medians of alternating runs. They are ratios, because absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.catalogues import make_catalogue


def goal(what: str, figure: float, bound: float, *, at_least: bool = False) -> bool:
    """Print a figure with its goal, and return whether it reaches the goal."""
    reached = figure >= bound if at_least else figure < bound
    print(
        f"{what}: {figure:.3g} (goal: {'at least' if at_least else 'under'} {bound:g}{'' if reached else ', MISSED'})"
    )
    return reached


def efficiency(items: int, side: int, rounds: int) -> bool:
    """Print bare encoder time / index wall time; 1 means that an index run takes no time besides encoding."""
    import firstsight
    from firstsight.media.pictures import open_picture

    with tempfile.TemporaryDirectory() as folder:
        catalogue = make_catalogue(Path(folder) / "catalogue", items, side)
        with catalogue.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        encoder = firstsight.load_encoder("starter")
        min_side = encoder.spec.min_side
        settings = firstsight.IndexSettings()
        pictures = [open_picture(catalogue.parent / row["images"], min_side=min_side) for row in rows]
        batches = [pictures[n : n + settings.batch_size] for n in range(0, items, settings.batch_size)]
        titles = [row["title"] for row in rows]
        texts = [titles[n : n + settings.text_batch_size] for n in range(0, items, settings.text_batch_size)]
        encoder.encode_images(batches[0])
        encoder.encode_texts(texts[0])
        ratios = []
        for round_ in range(rounds):
            bare = time.perf_counter()
            for batch in batches:
                encoder.encode_images(batch)
            for text in texts:
                encoder.encode_texts(text)
            bare = time.perf_counter() - bare
            whole = time.perf_counter()
            report = firstsight.open(Path(folder) / f"db-{round_}", encoder=encoder).index(catalogue)
            whole = time.perf_counter() - whole
            assert report.counts.encoded == items
            ratios.append(bare / whole)
            print(f"round {round_ + 1}: encoder {bare:.2f} s, index {whole:.2f} s, efficiency {bare / whole:.3f}")
    what = f"efficiency on {items} pictures of {side} x {side}, median of {rounds}"
    return goal(what, statistics.median(ratios), 0.85, at_least=True)


def scale(items: int, rounds: int) -> bool:
    """Print peak resident memory at `items` items minus that at a tenth of them, and the time of a repeated run."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for size in (items // 10, items):
            catalogue = make_catalogue(Path(folder) / str(size), size, side=96)
            db = Path(folder) / f"db-{size}"
            first, peak = _index_in_a_process(catalogue, db)
            peaks.append(peak / 2**20)
            print(f"{size} items: {first:.1f} s, peak {peaks[-1]:.0f} MiB", flush=True)
        flat = goal(f"MiB of peak memory at {items} items minus that at {items // 10}", peaks[1] - peaks[0], 100)
        again = statistics.median(_index_in_a_process(catalogue, db)[0] for _ in range(rounds))
    print(f"{items} items again, unchanged: {again:.2f} s")
    return goal("time of a repeated run, in % of the first run", 100 * again / first, 3) and flat


def _index_in_a_process(catalogue: Path, db: Path) -> tuple[float, int]:
    """Wall seconds of `firstsight index`, and its peak resident bytes without the decoding child."""
    command = [sys.executable, "-m", "firstsight", "index", str(catalogue), "--db", str(db), "--quiet"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def start(rounds: int) -> bool:
    """Print the time of `--help` and of a first text search, and the time of each step of the search."""
    sample = Path(__file__).parent.parent / "sample_media" / "catalogue.csv"
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "db"
        _index_in_a_process(sample, db)
        helped = _median_seconds(["--help"], rounds)
        searched = _median_seconds(["search", "red running shoes", "--db", str(db)], rounds)
        print(f"firstsight search, from a cold start: {searched:.2f} s")
        parts = [json.loads(_run(_PARTS, str(db))) for _ in range(rounds)]
        for name in parts[0]:
            print(f"  {name}: {statistics.median(part[name] for part in parts):.3f} s")
    return goal("seconds of firstsight --help", helped, 0.3)


def _median_seconds(arguments: list[str], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "firstsight", *arguments], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _run(code: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


_PARTS = """
import json, sys, time
marks = [("", time.perf_counter())]
def mark(name): marks.append((name, time.perf_counter()))
import lancedb, pyarrow; mark("importing lancedb and pyarrow")
import firstsight; from firstsight.database import Database; mark("importing the rest of firstsight")
db = firstsight.open(sys.argv[1]); db.status(); mark("opening the database")
import openvino; mark("importing openvino")
encoder = db.encoder; encoder.encode_texts(["warm"]); mark("loading the text tower, first text")
encoder.encode_texts(["red running shoes"]); mark("encoding the query")
db.search("red running shoes"); mark("encoding again and searching")
print(json.dumps({name: t - before for (_, before), (name, t) in zip(marks, marks[1:])}))
"""


def main() -> None:
    """Run the benchmark given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["efficiency", "scale", "start"])
    parser.add_argument("--items", type=int, help="items; default 1,000 for efficiency, 20,000 for scale")
    parser.add_argument("--side", type=int, default=800, help="picture side in pixels, for efficiency")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.what == "efficiency":
        reached = efficiency(options.items or 1_000, options.side, options.rounds)
    elif options.what == "scale":
        reached = scale(options.items or 20_000, options.rounds)
    else:
        reached = start(options.rounds)
    raise SystemExit(not reached)


if __name__ == "__main__":
    main()
