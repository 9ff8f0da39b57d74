"""A database with text indexes that stay open during use, and the open files of this process."""

from __future__ import annotations

import gc
import os
import random
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from tests.indexer.shop import write_jsonl

ITEMS = 200


def make_text_heavy_database(folder: Path, encoder: Encoder) -> Path:
    """Make a database with many words: LanceDB keeps its text indexes open, as they are too large to read whole."""
    rng = random.Random(0)
    words = [f"{rng.randrange(10**6)}w" for _ in range(4_000)]
    rows = [
        {"item_id": f"item-{n}", "title": " ".join(rng.sample(words, 200)), "text": " ".join(rng.sample(words, 400))}
        for n in range(ITEMS)
    ]
    firstsight.open(folder / "db", encoder=encoder).index(write_jsonl(folder / "c.jsonl", rows))
    return folder / "db"


def open_files(path: Path) -> set[str]:
    """Paths of the database's files that this process has open. Skips the test outside Linux."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are listed in Linux's /proc")
    gc.collect()
    names = set()
    for entry in os.scandir("/proc/self/fd"):
        if os.path.lexists(entry.path):  # the descriptor of the listing is gone
            names.add(os.readlink(entry.path))
    return {name for name in names if name.startswith(f"{path}{os.sep}")}
