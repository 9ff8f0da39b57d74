"""Ways to store vectors in fewer bytes, against float32, in one run:

    python -m benchmarks.vector_storage --titles FILE [--titles FILE …]

Each FILE is a CSV catalogue with a column `title`; the titles of all files are encoded with `starter`. Each way stores
them in a table of its own. A tenth of the titles are queries, and are in no table; nothing is fitted on them. Recall@10
is the share of the ten nearest by the whole float32 vectors that a search of the table finds. Bytes are those of the
table's folder, divided by its rows. Search time is the median of exact searches, each next to one of float32, as a
ratio.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.table import Table

from firstsight.encoders.reduced.reduction import Reduction, fit_pca, truncation
from firstsight.encoders.registry import load_encoder
from firstsight.storage.vector_format import VectorFormat, vector_type
from firstsight.vectors import Vectors, unit

K = 10
TIMED_QUERIES = 40


def make_table(database: Any, name: str, vectors: Vectors, numbers: VectorFormat) -> Table:
    """Store vectors in a table."""
    kind = np.float16 if numbers == "float16" else np.float32
    flat = pa.array(vectors.astype(kind).reshape(-1))
    column: Any = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]).cast(vector_type(vectors.shape[1], numbers))
    table: Table = database.create_table(name, pa.table({"row": pa.array(range(len(vectors))), "vector": column}))
    return table


def search(table: Table, query: Vectors) -> list[int]:
    """The rows of the ten nearest vectors, by exact search."""
    found: Any = table.search(query, vector_column_name="vector")
    rows: list[int] = found.distance_type("cosine").limit(K).select(["row", "_distance"]).to_arrow()["row"].to_pylist()
    return rows


def main() -> None:
    """Measure each way and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=Path, action="append", required=True)
    parser.add_argument("--queries", type=int, default=300, help="number of queries, at most a tenth of the titles")
    arguments = parser.parse_args()
    titles = sorted({row["title"] for file in arguments.titles for row in csv.DictReader(file.open(encoding="utf-8"))})
    vectors = load_encoder("starter").encode_texts([title for title in titles if title])
    order = np.random.default_rng(0).permutation(len(vectors))
    held = len(vectors) // 10
    queries, stored = vectors[order[:held]][: arguments.queries], vectors[order[held:]]
    true = np.argsort(-(queries @ stored.T), axis=1)[:, :K]
    whole = truncation(stored.shape[1], stored.shape[1])
    ways: dict[str, tuple[Reduction, VectorFormat]] = {
        "float32": (whole, "float32"),
        "float16": (whole, "float16"),
        "PCA 256": (fit_pca(stored, 256), "float32"),
        "PCA 256, float16": (fit_pca(stored, 256), "float16"),
        "PCA 192": (fit_pca(stored, 192), "float32"),
        "PCA 128": (fit_pca(stored, 128), "float32"),
        "first 256 dimensions": (truncation(stored.shape[1], 256), "float32"),
    }
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        database = lancedb.connect(folder)
        tables = {
            name: make_table(database, f"way_{n}", reduction.apply(stored), numbers)
            for n, (name, (reduction, numbers)) in enumerate(ways.items())
        }
        for n, (name, (reduction, _)) in enumerate(ways.items()):
            reduced = unit(reduction.apply(queries))
            found = [search(tables[name], query) for query in reduced]
            hits = [len(set(rows) & set(nearest)) for rows, nearest in zip(found, true.tolist(), strict=True)]
            size = sum(path.stat().st_size for path in Path(folder, f"way_{n}.lance").rglob("*") if path.is_file())
            ratios = []
            for query, small in zip(queries[:TIMED_QUERIES], reduced[:TIMED_QUERIES], strict=True):
                began = time.perf_counter()
                search(tables["float32"], query)
                between = time.perf_counter()
                search(tables[name], small)
                ratios.append((time.perf_counter() - between) / (between - began))
            figures[name] = {
                "recall@10": round(float(np.mean(hits)) / K, 4),
                "bytes per row": round(size / len(stored)),
                "search time against float32": round(statistics.median(ratios), 2),
            }
    print(json.dumps({"rows": len(stored), "queries": len(queries), "ways": figures}, indent=1))


if __name__ == "__main__":
    main()
