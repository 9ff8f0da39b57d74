"""A database of random unit vectors, with more rows than a ranking reads first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import firstsight
from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors, unit
from firstsight.storage.store import Store

DIM = 16
SPEC = EncoderSpec("drawn", DIM, 32, "d4a3")


class SyntheticEncoder:
    """An encoder whose vectors are random, seeded by the input: for tests in which meaning plays no part."""

    spec = SPEC

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        rows = [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
        return unit(np.array(rows).reshape(len(texts), DIM))

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        raise NotImplementedError


class SyntheticItems:
    """Items in a few clusters, each with views close to it: a title, two pictures and a frame."""

    def __init__(self, path: Path, items: int = 2_000, *, seed: int = 0) -> None:
        self.path = path
        self.store = Store.create(path, SPEC)
        self.store.add_columns({"price": "number", "group": "text", "rare": "flag"})
        self.items: dict[str, np.ndarray[Any, Any]] = {}
        self.views: dict[str, list[tuple[str, np.ndarray[Any, Any]]]] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.rng = np.random.default_rng(seed)
        self.centres = self.rng.normal(size=(8, DIM))
        self.add(items)

    def add(self, items: int, *, near: np.ndarray[Any, Any] | None = None) -> None:
        first = len(self.items)
        view_rows, item_rows = [], []
        for n in range(first, first + items):
            item_id = f"i{n:05d}"
            centre = self.centres[n % len(self.centres)] if near is None else 10 * near
            parts = ["title", "image", "image", "frame"]
            vectors = unit(centre + self.rng.normal(size=(4, DIM)))
            fused = unit(vectors.sum(axis=0))
            self.items[item_id] = fused
            self.views[item_id] = list(zip(parts, vectors, strict=True))
            row = {"item_id": item_id, "kind": "product", "title": f"thing {n}", "price": float(n % 100)}
            row |= {"group": None if n % 10 == 0 else f"g{n // 7}", "rare": n % 500 == 3, "vector": fused}
            row |= {"digest": "d", "row_digest": "r", "catalog_dir": "/", "run_id": "run"}
            self.rows[item_id] = row
            item_rows.append(row | {"indexed_at": datetime.now(UTC)})
            for place, (part, vector) in enumerate(self.views[item_id]):
                view = {"view_id": f"{item_id}#{part}-{place}", "item_id": item_id, "part": part, "vector": vector}
                view_rows.append(view | {"uri": None if part == "title" else f"{item_id}-{place}.jpg"})
        with self.store.writing():
            self.store.write_views(view_rows, replaced=[])
            self.store.write_items(item_rows)

    @property
    def db(self) -> firstsight.Database:
        return firstsight.open(self.path, encoder=SyntheticEncoder())

    def best(self, text: str, part: str = "item") -> list[tuple[str, float]]:
        """Scores of all items, best first, by comparison with every row."""
        query = SyntheticEncoder().encode_texts([text])[0]
        scores = {}
        for item_id, fused in self.items.items():
            vectors = [fused] if part == "item" else [v for p, v in self.views[item_id] if part in {"any", p}]
            scores[item_id] = max(float(vector @ query) for vector in vectors)
        return sorted(scores.items(), key=lambda one: -one[1])
