"""Queries in seven languages to pictures: `starter`, `starter:multilingual`, and fixed weights of its two text towers.

    python -m benchmarks.multilingual --luma DIR [--queries FILE] [--json]

Precision@10: the share of the first ten pictures in the right category, averaged over queries; an item of the query's
own product is never a result. The queries are made from the categories and titles of the shop by a table of words
(`benchmarks/translated_queries.py`). `--queries` adds a list written by hand: {"languages": [...], "luma_men_gear":
[[text, ..., tail of the category], ...]}.

"0" to "1" are fixed weights of the English tower, "gate" the shipped encoder, whose weight follows the agreement of
both towers. Nothing was chosen on these pictures or queries: map and gate are fitted by
`firstsight.encoders.training.multilingual`. Intervals are paired bootstraps over the queries, gate minus starter, 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.starter import Luma, read_luma
from benchmarks.translated_queries import LANGUAGES, TranslatedQuery, make_queries
from firstsight.encoders.base import Vectors, unit
from firstsight.encoders.starter.multilingual import LanguageMap, LanguageTower
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import LANGUAGE_MAP_PATH, StarterModel

WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)
FIRST = 10
ROUNDS = 2_000
GATE = "gate"


def precisions(
    luma: Luma, pictures: Vectors, texts: Vectors, queries: Sequence[TranslatedQuery]
) -> NDArray[np.float64]:
    """Compute the share of right pictures among the first ten of each query, (n,)."""
    scores = texts @ pictures.T
    own = np.array([[query.parent == parent for parent in luma.parents] for query in queries])
    right = np.array([[category.endswith(query.category) for category in luma.categories] for query in queries])
    first = np.argsort(-np.where(own, -np.inf, scores), axis=1, kind="stable")[:, :FIRST]
    return np.asarray(np.take_along_axis(right, first, axis=1).mean(axis=1), dtype=np.float64)


def combinations(encoder: StarterEncoder, tower: LanguageTower, texts: Sequence[str]) -> dict[str, Vectors]:
    """Encode texts with each fixed weight of the English tower, and with the shipped encoder."""
    language_map = LanguageMap.load(LANGUAGE_MAP_PATH)
    english = encoder.bridge.texts(encoder.sentence_vectors(texts))
    mapped = language_map.mapped(tower.vectors(texts))
    fixed = {f"{weight:g}": unit(np.float32(weight) * english + np.float32(1 - weight) * mapped) for weight in WEIGHTS}
    return fixed | {GATE: encoder.encode_texts(texts)}


def interval(gains: NDArray[np.float64]) -> tuple[float, float]:
    """Compute the 95 % interval of a mean by drawing queries again."""
    generator = np.random.default_rng(1)
    means = gains[generator.integers(0, len(gains), (ROUNDS, len(gains)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def measure(
    luma: Luma, queries: Sequence[TranslatedQuery], encoder: StarterEncoder, tower: LanguageTower, pictures: Vectors
) -> dict[str, NDArray[np.float64]]:
    """Compute the precision of every query: combination -> (languages, queries)."""
    rows = []
    for place in range(len(LANGUAGES)):
        vectors = combinations(encoder, tower, [query.texts[place] for query in queries])
        rows.append({name: precisions(luma, pictures, v, queries) for name, v in vectors.items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _print(title: str, found: dict[str, NDArray[np.float64]]) -> None:
    print(f"\n{title}: {found[GATE].shape[1]} queries")
    print(f"{'':10}" + "".join(f"{language:>8}" for language in (*LANGUAGES, "mean of 6")))
    for name, values in found.items():
        label = {"1": "starter", "0": "0", GATE: GATE}.get(name, name)
        print(f"{label:10}" + "".join(f"{v:8.3f}" for v in (*values.mean(axis=1), values[1:].mean())))
    for label, gains in (
        ("English", found[GATE][0] - found["1"][0]),
        ("mean of 6", found[GATE][1:].mean(axis=0) - found["1"][1:].mean(axis=0)),
    ):
        low, high = interval(gains)
        print(f"gate - starter, {label}: {gains.mean():+.3f} ({low:+.3f} to {high:+.3f})")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--luma", type=Path, required=True, help="folder with catalog.csv and its images")
    parser.add_argument("--queries", type=Path, help="JSON file of further queries, written by hand")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    options = parser.parse_args(arguments)
    luma = read_luma(options.luma)
    encoder = StarterEncoder(model=StarterModel.of_name("multilingual"))
    pictures = encoder.encode_images(luma.pictures)
    made = make_queries(luma.titles, luma.parents.tolist(), luma.categories.tolist(), luma.colours.tolist())
    groups = {"all": made}
    for kind in dict.fromkeys(query.kind for query in made):
        groups[kind] = [query for query in made if query.kind == kind]
    if options.queries:
        stored = json.loads(options.queries.read_text(encoding="utf-8"))
        order = [stored["languages"].index(language) for language in LANGUAGES]
        groups["by hand"] = [
            TranslatedQuery("by hand", tuple(row[place] for place in order), row[-1], "")
            for row in stored["luma_men_gear"]
        ]
    tower = LanguageTower()
    table = {name: measure(luma, queries, encoder, tower, pictures) for name, queries in groups.items()}
    if options.json:
        figures = {
            group: {name: dict(zip(LANGUAGES, values.mean(axis=1), strict=True)) for name, values in found.items()}
            for group, found in table.items()
        }
        json.dump(figures, sys.stdout, indent=1)
        print()
        return 0
    for name, found in table.items():
        _print(name, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
