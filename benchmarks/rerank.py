"""Measure the gain and the latency of a reranker on a real catalogue: python -m benchmarks.rerank --data FOLDER

FOLDER has `luma_men_gear/catalog.csv`. The judgements come from its columns. In the first set, the query "tees red" has
the items of that colour and category as relevant. Each pair is used once, so no query has a paraphrase in another
fold. In the second set, the grade also depends on sales. The sales are random numbers in a catalogue column. The first
set has little information that search lacks, the second has much. A reranker is fitted to both sets in each mode. The
figures are those of held-out queries.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import firstsight

Row = dict[str, str]
TIMED = 60


def judgements(rows: Sequence[Row], sales: dict[str, int] | None) -> list[dict[str, object]]:
    """Rows with query, item_id and grade."""
    pairs = sorted({(row["category"], row["color"]) for row in rows if row["category"] and row["color"]})
    judged: list[dict[str, object]] = []
    for category, colour in pairs:
        query = f"{category.split('/')[-1].lower()} {colour}"
        for row in rows:
            if (row["category"], row["color"]) == (category, colour):
                grade = 1 if sales is None else 1 + sales[row["item_id"]] // 250
                judged.append({"query": query, "item_id": row["item_id"], "grade": grade})
    return judged


def write(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def timed(db: firstsight.Database, texts: Sequence[str], *, rerank: bool) -> str:
    """p50 and p95 of one query at a time, with its encoding, in milliseconds."""
    milliseconds = []
    for n in range(TIMED + 5):
        start = time.perf_counter()
        db.search(texts[n % len(texts)], rerank=rerank)
        milliseconds.append((time.perf_counter() - start) * 1000)
    p50, p95 = np.percentile(milliseconds[5:], [50, 95])
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="folder for the database; by default a temporary one")
    arguments = parser.parse_args()
    source = arguments.data / "luma_men_gear" / "catalog.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = np.random.default_rng(0).integers(0, 1000, len(rows))
    sales = {row["item_id"]: int(sold) for row, sold in zip(rows, drawn, strict=True)}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        images = [str(source.parent / row["image"]) for row in rows]
        catalogue = [
            {name: row[name] for name in ("item_id", "parent", "title", "category", "color", "price")}
            | {"images": image, "sales": sales[row["item_id"]]}
            for row, image in zip(rows, images, strict=True)
        ]
        policy = firstsight.MediaPolicy(allow_anywhere=True)
        db = firstsight.open(work / "luma", policy=policy)
        db.index(write(work / "catalogue.jsonl", catalogue))
        print(f"{len(rows)} items; NDCG@10 of held-out queries")
        for name, sales_for_grades in (("colour and category", None), ("the same, and sales", sales)):
            file_ = write(work / "judged.jsonl", judgements(rows, sales_for_grades))
            for mode in ("hybrid", "vector", "words"):
                start = time.perf_counter()
                fitted = db.rerankers.fit(judgements=file_, mode=mode)
                seconds = time.perf_counter() - start
                try:
                    db.rerankers.promote()
                    verdict = "promoted"
                except firstsight.QueryError:
                    verdict = "not promoted"
                f = fitted.figures
                print(
                    f"{name:22s} {mode:7s} {f['queries']:4d} queries  without {f['ndcg_before']:.3f}  with "
                    f"{f['ndcg_after']:.3f}  p {f['p']:.4f}  {verdict}  (fitted in {seconds:.1f} s)",
                    flush=True,
                )
        texts = sorted({str(row["query"]) for row in judgements(rows, None)})
        for rerank in (False, True, False, True):
            print(f"search, reranked {rerank!s:5s}: {timed(db, texts, rerank=rerank)}", flush=True)


if __name__ == "__main__":
    main()
