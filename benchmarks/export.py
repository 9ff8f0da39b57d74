"""Export: streaming the items of a database, compared with reading the whole table at once.

    python -m benchmarks.export                      # 100,000 items, vectors of 512 dimensions
    python -m benchmarks.export --rows 400000 --rounds 5

Each contender runs in a process of its own, the processes alternate, and a ratio is the median of the ratios of all
rounds. Memory is the highest resident memory of a process minus the one before the first row.

    to_arrow    all batches of `db.to_arrow()`, one after another
    lancedb     the same rows with LanceDB's own stream of batches
    whole       `store.items.to_arrow()`: the whole table
    vectors     `db.vectors()`: ids and one matrix
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa

import firstsight
from firstsight.encoders.base import EncoderSpec, unit
from firstsight.storage.store import Store

BATCH = 10_000
MEBIBYTE = 2**20
CONTENDERS = ("to_arrow", "lancedb", "whole", "vectors")


def make_database(path: Path, rows: int, dim: int) -> None:
    """Make a database of generated items: unit vectors, a title of 60 characters and a text of 300."""
    store = Store.create(path, EncoderSpec("generated", dim, 224, "e4b0"))
    store.add_columns({"price": "number", "category": "text"})
    rng = np.random.default_rng(0)
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        vectors = unit(rng.normal(size=(len(numbers), dim)).astype(np.float32))
        columns: dict[str, Any] = {
            "item_id": [f"item-{n:09}" for n in numbers],
            "kind": ["product"] * len(numbers),
            "title": [f"title of item {n}".ljust(60, ".") for n in numbers],
            "text": [f"text of item {n}".ljust(300, ".") for n in numbers],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim),
            "indexed_at": [datetime.now(UTC)] * len(numbers),
            "price": [float(n % 100) for n in numbers],
            "category": [f"category {n % 20}" for n in numbers],
        }
        for name in ("digest", "row_digest", "catalog_dir", "run_id"):
            columns[name] = ["0" * 32] * len(numbers)
        missing = [None] * len(numbers)
        arrays = [
            columns[field.name] if field.name == "vector" else pa.array(columns.get(field.name, missing), field.type)
            for field in store.items.schema
        ]
        store.items.add(pa.Table.from_arrays(arrays, schema=store.items.schema))


def measure(path: str, contender: str) -> dict[str, float]:
    """Read all items in this process."""
    db, store = firstsight.open(path), Store.open(path)
    store.items.search().select(["item_id"]).limit(1).to_arrow()  # starts LanceDB's threads
    process = psutil.Process()
    before = peak = process.memory_info().rss
    finished = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not finished.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, cpu = time.monotonic(), time.process_time()
    kept: object = None  # until memory has been measured
    if contender == "to_arrow":
        rows = sum(len(batch) for batch in db.to_arrow())
    elif contender == "lancedb":
        rows = sum(len(batch) for batch in store.items.search().limit(None).to_batches(4_096))
    elif contender == "whole":
        kept = table = store.items.to_arrow()
        rows = len(table)
    else:
        kept = found = db.vectors()
        rows = len(found.ids)
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu
    finished.set()
    watcher.join()
    del kept
    return {"rows": rows, "seconds": seconds, "cpu_seconds": cpu_seconds, "mebibytes": (peak - before) / MEBIBYTE}


def main() -> None:
    """Print rows per second and memory of each contender, and the ratios to the whole table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000, help="number of items")
    options.add_argument("--dim", type=int, default=512, help="dimensions of their vectors")
    options.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    options.add_argument("--measure", nargs=2, metavar=("DB", "CONTENDER"), help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    figures: dict[str, list[dict[str, float]]] = {contender: [] for contender in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        make_database(path, arguments.rows, arguments.dim)
        for _ in range(arguments.rounds):
            for contender in CONTENDERS:
                command = [sys.executable, "-m", "benchmarks.export", "--measure", str(path), contender]
                figures[contender].append(json.loads(subprocess.check_output(command)))
    print(f"{arguments.rows:,} items, {arguments.dim} dimensions, median of {arguments.rounds}")
    print(f"{'':10}{'rows/s':>12}{'rows/CPU s':>12}{'MiB':>8}{'memory':>10}{'time':>8}{'CPU time':>10}")
    for contender, runs in figures.items():
        assert all(run["rows"] == arguments.rows for run in runs)
        ratios = [_ratio(runs, figures["whole"], figure) for figure in ("mebibytes", "seconds", "cpu_seconds")]
        print(
            f"{contender:10}{arguments.rows / _median(runs, 'seconds'):>12,.0f}"
            f"{arguments.rows / _median(runs, 'cpu_seconds'):>12,.0f}{_median(runs, 'mebibytes'):>8,.0f}"
            f"{ratios[0]:>9.2f}x{ratios[1]:>7.2f}x{ratios[2]:>9.2f}x"
        )


def _median(runs: list[dict[str, float]], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def _ratio(runs: list[dict[str, float]], others: list[dict[str, float]], figure: str) -> float:
    return statistics.median(run[figure] / other[figure] for run, other in zip(runs, others, strict=True))


if __name__ == "__main__":
    main()
