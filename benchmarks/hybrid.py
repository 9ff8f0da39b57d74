"""Words, vectors and both together on real catalogues: python -m benchmarks.hybrid --data FOLDER

FOLDER holds `amazon_industrial/items.csv` and `luma_men_gear/catalog.csv`. Only titles are indexed of the first, so
that a description, with the brand taken out, is another wording of what it looks for. Each query has one right item
(of luma_men_gear: one right product, in any colour). The measure is the reciprocal rank within the first ten; the
differences are tested by flipping the signs of paired differences (10,000 times).
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
class Asked:
    text: str
    right: str  # the item, or the product, that is looked for


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def without(text: str, brand: str) -> list[str]:
    named = {word.lower() for word in words(brand)}
    return [word for word in words(text) if word.lower() not in named]


def brand_and_words(row: Row, rng: np.random.Generator) -> str | None:
    """A brand and two words of the title."""
    rest = [word for word in without(row["title"], row["brand"]) if len(word) > 3]
    if not row["brand"] or len(rest) < 2:
        return None
    return " ".join([row["brand"], *rng.choice(rest, 2, replace=False)])


def half_a_title(row: Row, rng: np.random.Generator) -> str | None:
    """Half of a title's words without brand and codes, in another order."""
    rest = [word for word in without(row["title"], row["brand"]) if len(word) > 2 and not re.search(r"\d", word)]
    if len(rest) < 4:
        return None
    return " ".join(rng.permutation(rest)[: len(rest) // 2])


def description(row: Row, rng: np.random.Generator) -> str | None:
    """The beginning of the description without the brand: fifteen words that somebody else chose."""
    rest = without(row["description"], row.get("brand") or row["title"].split()[0])
    return " ".join(rest[:15]) if len(rest) >= 8 else None


def other_words(row: Row, rng: np.random.Generator) -> str | None:
    """As `description`, without any word of the title or near to one: what a paraphrase leaves to the vectors."""
    titled = {word.lower()[:4] for word in words(row["title"])}
    rest = [word for word in without(row["description"], row.get("brand") or "") if word.lower()[:4] not in titled]
    return " ".join(rest[:15]) if len(rest) >= 8 else None


def code(row: Row, rng: np.random.Generator) -> str | None:
    """A product code from the title."""
    codes = [word for word in words(row["title"]) if re.search(r"\d", word) and re.search(r"[A-Za-z]", word)]
    codes = [word for word in codes if len(word) >= 5]
    return codes[0] if codes else None


def name(row: Row, rng: np.random.Generator) -> str | None:
    """A product's name without its colour."""
    return " ".join(row["title"].split()[:-1])


Make = Callable[[Row, np.random.Generator], str | None]


def ask(rows: Sequence[Row], make: Make, right: str) -> list[Asked]:
    rng = np.random.default_rng(0)
    asked = []
    for n in rng.permutation(len(rows)):
        text = make(rows[n], rng)
        if text:
            asked.append(Asked(text, rows[n][right]))
    return asked[:QUERIES]


def reciprocal_ranks(db: firstsight.Database, asked: Sequence[Asked], right: str, **how: object) -> NDArray[np.float64]:
    queries = [firstsight.Query(one.text, k=DEPTH, **how) for one in asked]  # type: ignore[arg-type]
    ranks = []
    for one, results in zip(asked, db.search(queries), strict=True):
        found = [r.item_id if right == "item_id" else r.columns[right] for r in results]
        ranks.append(1 / (found.index(one.right) + 1) if one.right in found else 0.0)
    return np.array(ranks)


def p_value(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Two-sided, of a paired difference as large as this one by chance."""
    difference = left - right
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(10_000, len(difference)))
    return float((np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()) - 1e-12).mean())


MODES: dict[str, dict[str, object]] = {
    "vector": {"mode": "vector"},
    "words": {"mode": "words"},
    "hybrid rrf": {"mode": "hybrid", "fusion": "rrf"},
    "hybrid weighted": {"mode": "hybrid", "fusion": "weighted"},
}


Found = dict[str, list[NDArray[np.float64]]]


def measure(
    title: str, db: firstsight.Database, rows: Sequence[Row], makes: Sequence[Make], right: str, overall: Found
) -> None:
    print(f"\n{title}: {len(rows)} items; MRR@{DEPTH}, and p against the better of vector and words")
    print(f"{'queries':18s} {'n':>4s}  " + "  ".join(f"{mode:>22s}" for mode in MODES))
    for make in makes:
        asked = ask(rows, make, right)
        found = {mode: reciprocal_ranks(db, asked, right, **how) for mode, how in MODES.items()}
        for mode, ranks in found.items():
            overall.setdefault(mode, []).append(ranks)
        better = max((found["vector"], found["words"]), key=lambda ranks: float(ranks.mean()))
        cells = [
            f"{ranks.mean():.3f}" + (f" (p {p_value(ranks, better):.3f})" if mode.startswith("hybrid") else "")
            for mode, ranks in found.items()
        ]
        print(f"{make.__name__:18s} {len(asked):4d}  " + "  ".join(f"{cell:>22s}" for cell in cells), flush=True)


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps the databases here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        source = arguments.data / "amazon_industrial" / "items.csv"
        overall: Found = {}
        db = firstsight.open(work / "amazon")
        # the description stays a column of the catalogue: not searched
        db.index(source)
        makes = [brand_and_words, half_a_title, description, other_words, code]
        measure("amazon_industrial", db, read(source), makes, "item_id", overall)
        source = arguments.data / "luma_men_gear" / "catalog.csv"
        db = firstsight.open(work / "luma")
        db.index(source, options=firstsight.CatalogOptions(mapping={"images": ("image",)}))
        measure("luma_men_gear", db, read(source), [name, description, other_words], "parent", overall)
    print("\nAll queries, and each half: the share of the vectors was chosen on the first")
    for mode, groups in overall.items():
        ranks = np.concatenate(groups)
        halves = [np.mean([group[start::2].mean() for group in groups]) for start in (0, 1)]
        p = p_value(ranks, np.concatenate(overall["words"]))
        print(f"{mode:18s} {ranks.mean():.4f} (p against words {p:.3f}); groups' mean in each half: ", end="")
        print(*(f"{half:.4f}" for half in halves))


if __name__ == "__main__":
    main()
