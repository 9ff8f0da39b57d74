"""A database of random unit vectors, with more rows than a ranking reads first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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
        """Return the vectors that `picture_of` has written into the pictures."""
        pixels = [np.asarray(image)[..., 0].astype(np.uint8).tobytes() for image in images]
        return np.stack([np.frombuffer(data[: 4 * DIM], dtype=np.float32) for data in pixels])


def picture_of(vector: np.ndarray[Any, Any]) -> Image.Image:
    """Make a picture that `SyntheticEncoder` encodes to this vector."""
    pixels = np.zeros(32 * 32, dtype=np.uint8)
    pixels[: 4 * DIM] = np.frombuffer(vector.astype(np.float32).tobytes(), dtype=np.uint8)
    return Image.fromarray(np.repeat(pixels.reshape(32, 32, 1), 3, axis=2))


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
                uri, time_s = None if part == "title" else f"{item_id}-{place}.jpg", 1.0 if part == "frame" else None
                view_rows.append(view | {"uri": uri, "time_s": time_s})
        with self.store.writing():
            self.store.write_views(view_rows, replaced=[])
            self.store.write_items(item_rows)

    @property
    def db(self) -> firstsight.Database:
        return firstsight.open(self.path, encoder=SyntheticEncoder())

    def best(self, text: str, part: str = "item") -> list[tuple[str, float]]:
        """Scores of all items, best first, by comparison with every row."""
        return self.best_of_vector(SyntheticEncoder().encode_texts([text])[0], part)

    def best_of_vector(self, query: np.ndarray[Any, Any], part: str) -> list[tuple[str, float]]:
        """As `best`, for the vector of a query."""
        scores = {}
        for item_id, fused in self.items.items():
            vectors = [v for p, v in self.views[item_id] if part in {"any", p} or (part == "best" and p != "title")]
            vectors += [fused] if part in {"item", "best"} else []
            scores[item_id] = max(float(vector @ query) for vector in vectors)
        return sorted(scores.items(), key=lambda one: -one[1])
