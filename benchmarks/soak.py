"""Writes and searches in one process for hours: open files, memory and the time of a search.

    python -m benchmarks.soak                               # 5,000 writes to a database of 2,000 items
    python -m benchmarks.soak --writes 200 --every 50       # the same, shorter
    python -m benchmarks.soak compare --writes 200          # compared with LanceDB's caches, which are never replaced
    python -m benchmarks.soak compare --items 100000 --writes 40 --every 20

One `Database` writes one item at a time. Another stays open and searches twice after each write: first in one of three
modes or with a filter, in turn (`first_ms`, which reads the new indexes), then in hybrid mode (`warm_ms`). Every fifth
write is followed by the second page of a search of five writes ago, every tenth by an event and a slate. Vectors are
generated from the texts. The text indexes are real; from 50,000 items, so are the indexes of ids and vectors.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]

import firstsight
from benchmarks.pipeline import goal
from firstsight import Query
from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors, unit
from firstsight.service.protocol.malloc_arenas import limit_arenas
from firstsight.storage import sessions

DIM = 384
WORDS = [f"word{n}" for n in range(20_000)]
ODDS = [1 / (n + 1) for n in range(len(WORDS))]  # Zipf's law, as in natural language
SEARCHES: list[dict[str, Any]] = [{"mode": "hybrid"}, {"mode": "words"}, {"mode": "vector"}, {"where": "price > 50"}]


class SyntheticEncoder:
    """Random vectors seeded by the bytes of a text, so that searches need no model."""

    spec = EncoderSpec("drawn", DIM, 32, "drawn")

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        drawn = [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
        return unit(np.array(drawn, dtype=np.float32).reshape(len(texts), DIM))


def catalogue(path: Path, first: int, count: int) -> Path:
    """Write a JSON Lines catalogue of `count` items, from number `first`."""
    rng = random.Random(first)
    with path.open("w") as file:
        for n in range(first, first + count):
            title, text = (" ".join(rng.choices(WORDS, ODDS, k=length)) for length in (6, 25))
            row = {"item_id": f"item-{n}", "title": title, "text": text, "price": rng.randrange(100)}
            file.write(json.dumps(row) + "\n")
    return path


def database(work: Path, items: int) -> Path:
    """Copy a database of `items` items, which is created once."""
    base, path = work / f"base-{items}", work / f"db-{os.getpid()}"
    if not base.exists():
        draft = work / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        firstsight.open(draft, encoder=SyntheticEncoder()).index(catalogue(work / "base.jsonl", 0, items))
        draft.rename(base)
    return Path(shutil.copytree(base, path))


def open_files(path: Path) -> int:
    """Count the files of a database that this process has open."""
    names = (os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.lexists(entry.path))
    return sum(str(path) in name for name in names)


def soak(path: Path, writes: int, every: int) -> Iterator[dict[str, float]]:
    """Write and search; after every `every` writes, yield open files, memory and the median times since then."""
    reader, writer = (firstsight.open(path, encoder=SyntheticEncoder()) for _ in range(2))
    start, rng = reader.count(), random.Random(1)
    row, event = path.parent / "row.jsonl", path.parent / "event.jsonl"
    spent: dict[str, list[float]] = {"first": [], "warm": [], "write": []}
    token: str | None = None
    for n in range(1, writes + 1):
        began = time.perf_counter()
        writer.index(catalogue(row, start + n, 1))
        spent["write"].append(time.perf_counter() - began)
        for kind, search in (("first", SEARCHES[n % len(SEARCHES)]), ("warm", SEARCHES[0])):
            text = " ".join(rng.choices(WORDS, ODDS, k=2))
            began = time.perf_counter()
            answer = reader.search(Query(text, k=10, **search))
            spent[kind].append(time.perf_counter() - began)
        if n % 5 == 0:
            if token is not None:
                reader.search("word1 word2", k=10, offset=10, snapshot=token)
            token = answer.snapshot
        if n % 10 == 0:
            seen = {"user_id": f"user-{n % 7}", "item_id": f"item-{n}", "timestamp": datetime.now(UTC).isoformat()}
            event.write_text(json.dumps(seen) + "\n")
            writer.events.add(event)
            writer.recommend(f"user-{n % 7}", log=True)
        if n % every == 0:
            gc.collect()
            figures = {kind: 1e3 * float(np.median(times)) for kind, times in spent.items()}
            yield {
                "writes": n,
                "open_files": open_files(path),
                "descriptors": len(os.listdir("/proc/self/fd")),
                "rss_mb": round(psutil.Process().memory_info().rss / 1e6),
                **{f"{kind}_ms": round(ms, 1) for kind, ms in figures.items()},
            }
            for times in spent.values():
                times.clear()


def run(work: Path, items: int, writes: int, every: int) -> None:
    """Print the figures of a soak as JSON Lines."""
    path = database(work, items)
    try:
        for figures in soak(path, writes, every):
            print(json.dumps(figures), flush=True)
    finally:
        shutil.rmtree(path)


def compare(work: Path, items: int, writes: int, every: int) -> bool:
    """Soak with and without LanceDB's own caches, one process after the other, on copies of one database."""
    shutil.rmtree(database(work, items))  # creates the base before any timing
    last = {}
    for what in ("unbounded", "soak"):
        print(f"{what}:")
        options = ["--items", str(items), "--writes", str(writes), "--every", str(every), "--work", str(work)]
        command = [sys.executable, "-m", "benchmarks.soak", what, *options]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        print("\n".join(lines))
        last[what] = json.loads(lines[-1])
    ratios = {name: last["soak"][name] / max(1, last["unbounded"][name]) for name in last["soak"]}
    print({name: round(ratio, 2) for name, ratio in ratios.items()})
    flat = goal("open files, relative to LanceDB's caches", ratios["open_files"], 1.0)
    return goal("time of a search, relative to LanceDB's caches", ratios["warm_ms"], 1.3) and flat


def main() -> None:
    """Run the benchmark given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["soak", "compare", "unbounded"], nargs="?", default="soak")
    parser.add_argument("--items", type=int, default=2_000, help="items in the database before the first write")
    parser.add_argument("--writes", type=int, default=5_000)
    parser.add_argument("--every", type=int, default=500, help="writes between two lines of figures")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "firstsight-soak")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    limit_arenas()  # as `firstsight serve` does
    arguments = (options.work, options.items, options.writes, options.every)
    if options.what == "compare":
        raise SystemExit(not compare(*arguments))
    if options.what == "unbounded":
        sessions.MAX_REPLACED = sys.maxsize  # type: ignore[misc]
    run(*arguments)


if __name__ == "__main__":
    main()
