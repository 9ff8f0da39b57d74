"""A reindex beside searching: the latency of searches, a kill in the middle, and the cost of the second set.

    python -m benchmarks.reindex                      # 10,000 drawn pictures; goal: p95 of searches at most doubles
    python -m benchmarks.reindex --items 1000
    python -m benchmarks.reindex --work /tmp/reindex  # keep the catalogue and the index for the next run

The catalogue is indexed with `starter`. Its second encoder is a variant of `starter` whose bridge is changed at random,
so it costs the same. Searches run in this process, one every 50 ms, each over a different text. The reindex runs in a
process of its own, as the command line starts it. That process is killed with SIGKILL once a third of the items are
written, and started again. Then all items and views of both sets are compared. Absolute times depend on the machine;
the goal is a ratio of two p95 of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

import firstsight
from benchmarks.catalogues import make_catalogue
from benchmarks.pipeline import goal
from firstsight.storage.sets.standby_rows import count_gaps
from firstsight.storage.store import Store

SEARCH_EVERY_S: Final = 0.05
QUIET_S: Final = 20.0
"""Seconds of searching before the reindex, and of searching without it afterwards."""

REFRESHES: Final = 300
WORDS: Final = ("red", "blue", "green", "shoe", "mug", "lamp", "striped", "small", "item", "picture")


def make_variant(folder: Path) -> str:
    """Write a variant of `starter` with a changed bridge; returns its name."""
    from safetensors.numpy import load_file

    from firstsight.encoders.starter.starter_model import BRIDGE_PATH, save_starter

    rng = np.random.default_rng(0)
    bridge = {
        name: values + (rng.normal(0, 0.1 * values.astype(np.float32).std(), values.shape) if values.ndim == 2 else 0)
        for name, values in load_file(BRIDGE_PATH).items()
    }
    save_starter(folder, bridge)
    return f"starter:{folder}"


def search_while(database: firstsight.Database, goes_on: Callable[[], bool]) -> list[float]:
    """Search at a fixed rate; returns the seconds of each search."""
    seconds: list[float] = []
    number = 0
    while goes_on():
        began = time.perf_counter()
        number += 1
        words = f"{WORDS[number % 10]} {WORDS[number // 10 % 10]} {number}"
        database.search(words, k=10, mode="hybrid")
        seconds.append(time.perf_counter() - began)
        time.sleep(max(0.0, SEARCH_EVERY_S - seconds[-1]))
    return seconds


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Whether the time is not over yet."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() < ends


def start_reindex(db: Path, name: str, options: list[str]) -> subprocess.Popen[str]:
    """Start the command."""
    command = [sys.executable, "-m", "firstsight", "reindex", "--encoder", name, "--db", str(db), "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def written_items(db: Path) -> int:
    """Items with a row in the second set."""
    store = Store.open(db)
    return 0 if store.standby is None else int(store.standby.items.count_rows())


def until_written(db: Path, items: int) -> Callable[[], bool]:
    """Whether the second set has fewer items; looked up once a second, so that it does not slow the searches."""
    looked_up, found = time.monotonic(), 0

    def goes_on() -> bool:
        nonlocal looked_up, found
        if time.monotonic() - looked_up > 1.0:
            found = written_items(db)
            looked_up = time.monotonic()
        return found < items

    return goes_on


def p95(seconds: list[float]) -> float:
    """The 95th percentile in milliseconds."""
    return float(np.percentile(seconds, 95)) * 1000


def refresh_ms(db: Path) -> float:
    """Median milliseconds of a refresh of the tables, which each search begins with."""
    store, seconds = Store.open(db), []
    for _ in range(REFRESHES):
        began = time.perf_counter()
        store.refresh()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)) * 1000


def measure(work: Path, items: int, options: list[str]) -> bool:
    """Run the whole comparison in a folder; returns whether all goals are reached."""
    catalogue, indexed, db = work / f"catalogue-{items}", work / f"indexed-{items}", work / "db"
    if not indexed.exists():
        source = make_catalogue(catalogue, items, 400)
        began = time.monotonic()
        firstsight.open(work / "draft").index(source)
        print(f"indexed {items:,} items in {time.monotonic() - began:,.0f} s", flush=True)
        (work / "draft").rename(indexed)
    shutil.rmtree(db, ignore_errors=True)
    shutil.copytree(indexed, db)
    name = make_variant(work / "variant")
    one_set = refresh_ms(db)

    database = firstsight.open(db)
    search_while(database, for_seconds(3))  # loads the encoder and fills the caches
    before = search_while(database, for_seconds(QUIET_S))
    began = time.monotonic()
    process = start_reindex(db, name, options)
    third = until_written(db, items // 3)
    during = search_while(database, lambda: process.poll() is None and third())
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = written_items(db)
    again = start_reindex(db, name, options)
    during += search_while(database, lambda: again.poll() is None)
    report = json.loads(again.communicate()[0].splitlines()[-1])
    took = time.monotonic() - began
    after = search_while(database, for_seconds(QUIET_S))

    store = Store.open(db)
    assert store.standby is not None
    lost = items - int(store.standby.items.count_rows()) + count_gaps(store, store.standby)
    two_sets = refresh_ms(db)
    began = time.monotonic()
    database.encoders.switch()
    switch_s = time.monotonic() - began
    began = time.monotonic()
    database.search("the first search after the switch", k=10)
    first_s = time.monotonic() - began
    switched = refresh_ms(db)
    database.encoders.rollback()

    quiet = [*before, *after]
    counts = report["counts"]
    print(f"reindex: {took:,.0f} s with a kill after {kept:,} items; {counts['items']:,} were left for the second run")
    print(f"searches without it: {len(quiet):,}, p50 {np.median(quiet) * 1000:.1f} ms, p95 {p95(quiet):.1f} ms")
    print(f"searches beside it: {len(during):,}, p50 {np.median(during) * 1000:.1f} ms, p95 {p95(during):.1f} ms")
    print(f"refresh: {one_set:.2f} ms with one set, {two_sets:.2f} with two, {switched:.2f} after the switch")
    print(f"switch: {switch_s:.2f} s; the first search after it, with loading the encoder: {first_s:.2f} s")
    return all(
        [
            goal("p95 of searches beside a reindex / without it", p95(during) / p95(quiet), 2.0),
            goal("items lost by the kill", lost, 1),
            goal("items encoded twice, beyond one step of 128", counts["items"] + kept - items, 129),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000, help="drawn pictures, one an item")
    parser.add_argument("--work", type=Path, help="folder to keep the catalogue and the index in")
    parser.add_argument("options", nargs="*", help="further options of the command, after --, such as --max-rate 20")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        sys.exit(0 if measure(work, arguments.items, arguments.options) else 1)


if __name__ == "__main__":
    main()
