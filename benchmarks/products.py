"""Time of a search that shows one result per product, as a ratio to the same search that shows every item.

python -m benchmarks.products [--items 100000] [--queries 100]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import firstsight
from benchmarks.search import make_vectors
from firstsight import Query
from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors
from firstsight.storage.indexes.text_index import index_texts
from firstsight.storage.store import Store

DIM = 384
VARIANTS = 5
"""Items of one product."""

WORDS = ("shirt", "shoe", "lamp", "mug", "chair", "bag", "hat", "tent", "guitar", "kettle")
COLORS = ("black", "white", "blue", "red", "green")
ROWS_PER_WRITE = 10_000
WARM_UP = 5


class VectorEncoder:
    """An encoder whose vectors are known: text "<word> <n>" has the n-th query vector."""

    spec = EncoderSpec("vectors", DIM, 32, "vectors")

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vectors[int(text.split()[-1])] for text in texts])

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        raise NotImplementedError("only texts are encoded")


def make_database(folder: Path, items: int, encoder: VectorEncoder) -> firstsight.Database:
    """Write items in products of five, each with a random vector near the vector of its product."""
    store = Store.create(folder, encoder.spec)
    products = make_vectors(items // VARIANTS, DIM, 1, 1_000)
    noise = np.random.default_rng(2)
    with store.writing():
        store.add_columns({"group_id": "text", "color": "text"})
        for start in range(0, items, ROWS_PER_WRITE):
            rows = []
            for n in range(start, min(start + ROWS_PER_WRITE, items)):
                product = n // VARIANTS
                vector = products[product] + 0.3 * noise.standard_normal(DIM).astype(np.float32) / np.sqrt(DIM)
                rows.append(
                    {
                        "item_id": f"i{n:07d}",
                        "kind": "product",
                        "title": f"{WORDS[product % len(WORDS)]} number {product}",
                        "vector": vector / np.linalg.norm(vector),
                        "catalog_dir": "/",
                        "digest": "d",
                        "row_digest": "r",
                        "run_id": "r",
                        "indexed_at": datetime.now(UTC),
                        "group_id": f"p{product}",
                        "color": COLORS[n % VARIANTS],
                    }
                )
            store.write_items(rows)
        index_texts(store, "English")
    db = firstsight.open(folder, encoder=encoder)
    db.maintenance.optimize()
    return db


def measure(db: firstsight.Database, queries: int) -> None:
    """Print the median time of searches with and without collapse, in turns, and the ratio."""
    for mode in ("vector", "words", "hybrid"):
        seconds: dict[str, list[float]] = {"every item": [], "one per product": []}
        for n in range(queries):
            for name, collapse in (("every item", "none"), ("one per product", None)):  # in turns: other load hits both
                query = Query(text=f"{WORDS[n % len(WORDS)]} {n}", mode=mode, collapse=collapse)
                began = time.perf_counter()
                found = db.search(query)
                seconds[name].append(time.perf_counter() - began)
                products = {result.columns["group_id"] for result in found}
                if collapse is None and len(products) != len(found):
                    raise AssertionError(f"two results of one product in mode {mode}")
        medians = {name: 1000 * statistics.median(values[WARM_UP:]) for name, values in seconds.items()}
        ratios = [b / a for a, b in zip(*seconds.values(), strict=True)][WARM_UP:]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        cells = ", ".join(f"{name} {median:.1f} ms" for name, median in medians.items())
        print(f"{mode}: {cells}; ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    settings = parser.parse_args()
    encoder = VectorEncoder(make_vectors(settings.queries, DIM, 3, 1_000))
    with tempfile.TemporaryDirectory(prefix="firstsight-products-") as folder:
        measure(make_database(Path(folder) / "db", settings.items, encoder), settings.queries)


if __name__ == "__main__":
    main()
