"""A small shop for index runs: generated pictures and catalogues, and a fast encoder."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import firstsight
from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors
from firstsight.storage.store import Store

DIM = 16

Rows = list[dict[str, Any]]


class ColourEncoder:
    """Encodes pictures by the colours of their quarters and texts by a hash; counts its inputs."""

    def __init__(self, fingerprint: str = "c0105", dim: int = DIM) -> None:
        self.spec = EncoderSpec("colours", dim, 32, fingerprint)
        self.image_batches: list[int] = []
        self.text_batches: list[int] = []

    @property
    def images(self) -> int:
        """Pictures encoded so far."""
        return sum(self.image_batches)

    @property
    def texts(self) -> int:
        """Texts encoded so far."""
        return sum(self.text_batches)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        self.image_batches.append(len(images))
        return self._unit([self._colours(image) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.text_batches.append(len(texts))
        seeds = (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in texts)
        return self._unit([np.random.default_rng(seed).normal(size=self.spec.dim) for seed in seeds])

    def _colours(self, image: ImageInput) -> np.ndarray[Any, Any]:
        assert isinstance(image, Image.Image)
        quarters = np.asarray(image.resize((2, 2), Image.Resampling.BOX), dtype=np.float64).ravel() - 127.0
        return np.resize(np.append(quarters, 50.0), self.spec.dim)

    def _unit(self, rows: Sequence[np.ndarray[Any, Any]]) -> Vectors:
        array = np.array(rows, dtype=np.float32).reshape(len(rows), self.spec.dim)
        return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), dtype=np.float32)


def picture(seed: int, *, side: int = 48, format: str = "PNG") -> bytes:
    """Make a small picture file with four random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, size=(2, 2, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST).save(buffer, format)
    return buffer.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV; the header has all keys of all rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Iterable[object]) -> Path:
    """Write one JSON value per line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def make_shop(folder: Path, items: int, *, broken: int = 0) -> list[dict[str, Any]]:
    """Rows of a shop with one picture per item; the first `broken` files are not pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for n in range(items):
        name = f"{n}.png"
        (folder / name).write_bytes(b"not a picture" if n < broken else picture(n))
        rows.append({"item_id": f"item-{n}", "title": f"thing number {n}", "images": name, "price": n + 0.5})
    return rows


Contents = dict[str, dict[str, dict[str, Any]]]

RUN_COLUMNS = {"run_id", "indexed_at", "attempts", "last_seen"}
"""Columns with times and runs, which differ between equal databases."""


def contents(db: Path) -> Contents:
    """Rows of `items`, `views` and `failures` by their ids, without times and runs.

    Fails where an id stands there twice.
    """
    store = Store.open(db)
    found: Contents = {}
    for table, key in ((store.items, "item_id"), (store.views, "view_id"), (store.failures, "failure_id")):
        rows = table.search().limit(None).to_arrow().to_pylist()
        kept = {row[key]: {name: row[name] for name in row.keys() - RUN_COLUMNS} for row in rows}
        assert len(kept) == len(rows), f"{table.name} holds an id twice"
        found[table.name] = kept
    return found


def assert_same(left: Contents, right: Contents) -> None:
    """Check that two databases have equal rows, with vectors equal to 1e-4."""
    for name in left:
        assert left[name].keys() == right[name].keys(), name
        for key, row in left[name].items():
            other = right[name][key]
            assert (row.get("vector") is None) == (other.get("vector") is None), key
            assert {n: v for n, v in row.items() if n != "vector"} == {n: v for n, v in other.items() if n != "vector"}
            if row.get("vector") is not None:
                np.testing.assert_allclose(row["vector"], other["vector"], atol=1e-4)


def index(db: Path, source: Path | str, encoder: ColourEncoder | None = None, **how: Any) -> firstsight.IndexReport:
    """Index with the fast encoder."""
    return firstsight.open(db, encoder=encoder or ColourEncoder()).index(source, **how)


def edit(catalogue: Path, change: Callable[[Rows], object]) -> None:
    """Change the rows of a CSV catalogue."""
    with catalogue.open(newline="", encoding="utf-8") as file:
        rows: Rows = list(csv.DictReader(file))
    change(rows)
    write_csv(catalogue, rows)


def failures(db: Path) -> list[tuple[str, str, str, str, int]]:
    """(item_id, uri, stage, reason, attempts) of each failure."""
    rows = Store.open(db).failure_rows()
    return [(row["item_id"], row["uri"], row["stage"], row["reason"], row["attempts"]) for row in rows]
