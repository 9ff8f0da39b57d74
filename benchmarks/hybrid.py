"""Compare word, vector and hybrid search on real catalogues: python -m benchmarks.hybrid --data FOLDER

FOLDER has `amazon_industrial/items.csv` and `luma_men_gear/catalog.csv`. Of the first, only titles are indexed, so a
description without the brand is another wording of its item. Each query has one relevant item (luma_men_gear: one
relevant product, in any colour). The measure is the reciprocal rank within the first ten. The significance test flips
the signs of paired differences 10,000 times.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import firstsight

QUERIES = 300
DEPTH = 10

Row = dict[str, str]


@dataclass(frozen=True)
class LabelledQuery:
    text: str
    relevant: str  # the relevant item or product


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def without(text: str, brand: str) -> list[str]:
    brand_words = {word.lower() for word in words(brand)}
    return [word for word in words(text) if word.lower() not in brand_words]


def brand_and_words(row: Row, rng: np.random.Generator) -> str | None:
    """A brand and two words of the title."""
    rest = [word for word in without(row["title"], row["brand"]) if len(word) > 3]
    if not row["brand"] or len(rest) < 2:
        return None
    return " ".join([row["brand"], *rng.choice(rest, 2, replace=False)])


def half_a_title(row: Row, rng: np.random.Generator) -> str | None:
    """Half of a title's words, without brand and codes, in random order."""
    rest = [word for word in without(row["title"], row["brand"]) if len(word) > 2 and not re.search(r"\d", word)]
    if len(rest) < 4:
        return None
    return " ".join(rng.permutation(rest)[: len(rest) // 2])


def description(row: Row, rng: np.random.Generator) -> str | None:
    """The first fifteen words of the description, without the brand: words that another person chose."""
    rest = without(row["description"], row.get("brand") or row["title"].split()[0])
    return " ".join(rest[:15]) if len(rest) >= 8 else None


def other_words(row: Row, rng: np.random.Generator) -> str | None:
    """As `description`, without words that start like a word of the title: only vectors can match such a paraphrase."""
    starts = {word.lower()[:4] for word in words(row["title"])}
    rest = [word for word in without(row["description"], row.get("brand") or "") if word.lower()[:4] not in starts]
    return " ".join(rest[:15]) if len(rest) >= 8 else None


def code(row: Row, rng: np.random.Generator) -> str | None:
    """A product code from the title."""
    codes = [word for word in words(row["title"]) if re.search(r"\d", word) and re.search(r"[A-Za-z]", word)]
    codes = [word for word in codes if len(word) >= 5]
    return codes[0] if codes else None


def name(row: Row, rng: np.random.Generator) -> str | None:
    """The name of a product without its colour."""
    return " ".join(row["title"].split()[:-1])


Make = Callable[[Row, np.random.Generator], str | None]


def make_queries(rows: Sequence[Row], make: Make, id_column: str) -> list[LabelledQuery]:
    rng = np.random.default_rng(0)
    queries = []
    for n in rng.permutation(len(rows)):
        text = make(rows[n], rng)
        if text:
            queries.append(LabelledQuery(text, rows[n][id_column]))
    return queries[:QUERIES]


def reciprocal_ranks(
    db: firstsight.Database, labelled: Sequence[LabelledQuery], id_column: str, **settings: object
) -> NDArray[np.float64]:
    every = {"k": DEPTH, "collapse": "none"}  # a label is one item, whatever its product
    queries = [firstsight.Query(query.text, **every, **settings) for query in labelled]  # type: ignore[arg-type]
    ranks = []
    for query, results in zip(labelled, db.search_many(queries), strict=True):
        ids = [r.item_id if id_column == "item_id" else r.columns[id_column] for r in results]
        ranks.append(1 / (ids.index(query.relevant) + 1) if query.relevant in ids else 0.0)
    return np.array(ranks)


def p_value(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Two-sided p-value of a paired difference."""
    difference = left - right
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(10_000, len(difference)))
    return float((np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()) - 1e-12).mean())


MODES: dict[str, dict[str, object]] = {
    "vector": {"mode": "vector"},
    "words": {"mode": "words"},
    "hybrid rrf": {"mode": "hybrid", "fusion": "rrf"},
    "hybrid weighted": {"mode": "hybrid", "fusion": "weighted"},
}


RanksByMode = dict[str, list[NDArray[np.float64]]]


def measure(
    title: str,
    db: firstsight.Database,
    rows: Sequence[Row],
    makes: Sequence[Make],
    id_column: str,
    overall: RanksByMode,
) -> None:
    print(f"\n{title}: {len(rows)} items; MRR@{DEPTH}, and p against the better of vector and words")
    print(f"{'queries':18s} {'n':>4s}  " + "  ".join(f"{mode:>22s}" for mode in MODES))
    for make in makes:
        queries = make_queries(rows, make, id_column)
        by_mode = {mode: reciprocal_ranks(db, queries, id_column, **settings) for mode, settings in MODES.items()}
        for mode, ranks in by_mode.items():
            overall.setdefault(mode, []).append(ranks)
        better = max((by_mode["vector"], by_mode["words"]), key=lambda ranks: float(ranks.mean()))
        cells = [
            f"{ranks.mean():.3f}" + (f" (p {p_value(ranks, better):.3f})" if mode.startswith("hybrid") else "")
            for mode, ranks in by_mode.items()
        ]
        print(f"{make.__name__:18s} {len(queries):4d}  " + "  ".join(f"{cell:>22s}" for cell in cells), flush=True)


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="folder for the databases; by default a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        source = arguments.data / "amazon_industrial" / "items.csv"
        overall: RanksByMode = {}
        db = firstsight.open(work / "amazon")
        # the description is a column of the catalogue and is not searched
        db.index(source)
        makes = [brand_and_words, half_a_title, description, other_words, code]
        measure("amazon_industrial", db, read(source), makes, "item_id", overall)
        source = arguments.data / "luma_men_gear" / "catalog.csv"
        db = firstsight.open(work / "luma")
        db.index(source, options=firstsight.CatalogOptions(mapping={"images": ("image",)}))
        measure("luma_men_gear", db, read(source), [name, description, other_words], "parent", overall)
    print("\nAll queries, and each half; VECTOR_SHARE was chosen on the first half")
    for mode, groups in overall.items():
        ranks = np.concatenate(groups)
        halves = [np.mean([group[start::2].mean() for group in groups]) for start in (0, 1)]
        p = p_value(ranks, np.concatenate(overall["words"]))
        print(f"{mode:18s} {ranks.mean():.4f} (p against words {p:.3f}); groups' mean in each half: ", end="")
        print(*(f"{half:.4f}" for half in halves))


if __name__ == "__main__":
    main()
