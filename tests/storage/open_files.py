"""A database whose text indexes stay open while they are used, and the files of it that this process has open."""

from __future__ import annotations

import gc
import os
import random
from pathlib import Path

import firstsight
from firstsight.encoders.base import Encoder
from tests.indexer.shop import write_jsonl

ITEMS = 200


def make_text_heavy_database(folder: Path, encoder: Encoder) -> Path:
    """A database with so many words that LanceDB does not read its text indexes whole, but keeps them open."""
    rng = random.Random(0)
    words = [f"{rng.randrange(10**6)}w" for _ in range(4_000)]
    rows = [
        {"item_id": f"item-{n}", "title": " ".join(rng.sample(words, 200)), "text": " ".join(rng.sample(words, 400))}
        for n in range(ITEMS)
    ]
    firstsight.open(folder / "db", encoder=encoder).index(write_jsonl(folder / "c.jsonl", rows))
    return folder / "db"


def open_files(path: Path) -> set[str]:
    """Files of a database that this process has open."""
    gc.collect()
    names = set()
    for entry in os.scandir("/proc/self/fd"):
        if os.path.lexists(entry.path):  # that of the listing itself is gone
            names.add(os.readlink(entry.path))
    return {name for name in names if name.startswith(f"{path}{os.sep}")}
