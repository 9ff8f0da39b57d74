"""Tags: categories from few labels, on items of products without a label.

Reads `luma_men_gear` of the data folder; with a Google taxonomy beside it (`google_taxonomy.txt`), also its prompts
alone. Every figure is a mean of five draws of the labels, except for the taxonomy.

- accuracy: mean over the nine categories of the share of right answers, without "don't know".
- answered, right: at a probability of 0.8 or more.
- at the cut: the same at the cut that the training chose for 0.98 right on its cross-fitted labels.
- calibration error: over 15 bins of equal mass.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import firstsight
from firstsight.database import open_tables
from firstsight.encoders.base import Encoder, Vectors
from firstsight.heads.curves import reliability
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_reading import TagLabels
from firstsight.understanding.tags.labels.tag_tree import TagTree
from firstsight.understanding.tags.labels.taxonomy import read_taxonomy
from firstsight.understanding.tags.models.item_vectors import ItemVectors, part_means, read_item_vectors
from firstsight.understanding.tags.models.tag_decisions import PROMPT_CUT, deepest_values
from firstsight.understanding.tags.models.tag_model import TagModel, TagSource
from firstsight.understanding.tags.models.tag_prompts import make_prompts
from firstsight.understanding.tags.models.tag_scorers import PromptScorer, standard_prompt_logits
from firstsight.understanding.tags.training.tag_shots import make_shots
from firstsight.understanding.tags.training.tag_training import TagTrainSettings, train_tag

SEEDS = 5
SHOTS = (4, 16)
SURE = 0.8


def run(data: Path) -> None:
    """Print the table.

    Args:
        data: folder of the catalogues to measure on.
    """
    with (data / "luma_men_gear" / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    categories = {row["item_id"]: _category(row["category"]) for row in rows}
    products = {row["item_id"]: row["parent"] for row in rows}
    with tempfile.TemporaryDirectory(prefix="firstsight-") as folder:
        db = firstsight.open(Path(folder) / "db")
        db.index(data / "luma_men_gear" / "catalog.csv")
        measure(open_tables(db), db.encoder, categories, products, data / "google_taxonomy.txt")


def measure(
    store: Store, encoder: Encoder, categories: Mapping[str, str], products: Mapping[str, str], taxonomy: Path
) -> None:
    """Print the table for an indexed catalogue.

    Args:
        store: the database.
        encoder: its encoder.
        categories: right value by item.
        products: id of the product by item.
        taxonomy: file of a taxonomy; skipped if there is none.
    """
    means = part_means(store)
    items = read_item_vectors(store, sorted(categories), means)
    tree = TagTree.of(categories.values(), levels=False)
    prompts = make_prompts(store, tree, (), lambda: encoder, print)
    own = np.array([tree.places[categories[item_id]] for item_id in items.item_ids])
    nearest = standard_prompt_logits(items.whole, prompts).argmax(axis=1)
    print(
        f"{len(items.item_ids)} items, {len(tree.names)} categories; prompts alone {_accuracy(nearest == own, own):.3f}"
    )
    print("labels  method     accuracy  answered  right  at the cut: answered  right  calibration error")
    for shots in SHOTS:
        for method in ("auto", "linear"):
            found = np.array(
                [_trial(store, items, categories, products, prompts, means, shots, method, s) for s in range(SEEDS)]
            )
            accuracy, answered, right, cut_answered, cut_right, error = np.nanmean(found, axis=0)
            print(
                f"{shots:6}  {method:10} {accuracy:8.3f}  {answered:8.3f}  {right:5.3f}  {cut_answered:20.3f}  "
                f"{cut_right:5.3f}  {error:17.3f}"
            )
    if taxonomy.exists():
        _measure_taxonomy(store, encoder, items, taxonomy)


def _trial(
    store: Store,
    items: ItemVectors,
    categories: Mapping[str, str],
    products: Mapping[str, str],
    prompts: Vectors,
    means: Vectors,
    shots: int,
    method: str,
    seed: int,
) -> tuple[float, ...]:
    labelled = draw_labels(items.item_ids, categories, products, shots, seed)
    labels = TagLabels("category", {item_id: (categories[item_id],) for item_id in labelled}, multi=False)
    drawn = read_item_vectors(store, labelled, means)
    made = make_shots(labels, drawn, products, lambda tree: prompts if len(tree.names) == len(prompts) else None)
    trained = train_tag(
        made,
        settings=TagTrainSettings(method=method, seed=seed),
        means=means,
        fingerprint=store.spec.fingerprint,
        source=TagSource("labels"),
    )
    used = {products[item_id] for item_id in labelled}
    tested = [n for n, item_id in enumerate(items.item_ids) if products[item_id] not in used]
    return _figures(trained.model, items.whole[tested], [categories[items.item_ids[n]] for n in tested])


def _figures(model: TagModel, vectors: Vectors, right_names: Sequence[str]) -> tuple[float, ...]:
    assert model.scorer is not None
    masses = model.scorer.masses(vectors)
    own = np.array([model.tree.places[name] for name in right_names])
    best, p = masses.argmax(axis=1), masses.max(axis=1)
    hits = best == own
    shares = [_accuracy(hits, own)]
    for cut in (SURE, model.cuts[0].cut):
        shares += [float((p >= cut).mean()), float(hits[p >= cut].mean()) if (p >= cut).any() else float("nan")]
    return (*shares, reliability(p, hits.astype(np.int8)).calibration_error)


def draw_labels(
    item_ids: Sequence[str], categories: Mapping[str, str], products: Mapping[str, str], count: int, seed: int
) -> list[str]:
    """Draw items of each category, of different products while there are any; one product is left to test on."""
    rng = np.random.default_rng(seed)
    drawn: list[str] = []
    for category in sorted(set(categories.values())):
        of_category = [item_id for item_id in item_ids if categories[item_id] == category]
        of_product: dict[str, list[str]] = {}
        for item_id in rng.permutation(of_category).tolist():
            of_product.setdefault(products[item_id], []).append(item_id)
        usable = list(of_product.values())[:-1] or list(of_product.values())
        usable = usable[: max(1, min(count, len(usable)))]
        turns = [one[n] for n in range(max(map(len, usable))) for one in usable if n < len(one)]
        drawn += turns[:count]
    return sorted(drawn)


def _measure_taxonomy(store: Store, encoder: Encoder, items: ItemVectors, path: Path) -> None:
    tree = TagTree.of(read_taxonomy(path).names, levels=True)
    scorer = PromptScorer(tree, make_prompts(store, tree, (), lambda: encoder, print))
    answers = deepest_values(tree, scorer.masses(items.whole), PROMPT_CUT)
    print(f"prompts of {len(tree.names):,} categories alone: {(answers >= 0).mean():.3f} answered")
    for item_id, answer in list(zip(items.item_ids, answers.tolist(), strict=True))[::24]:
        print(f"  {item_id}: {tree.names[answer] if answer >= 0 else 'unknown'}")


def _accuracy(
    hits: np.ndarray[tuple[int], np.dtype[np.bool_]], own: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> float:
    return float(np.mean([hits[own == place].mean() for place in np.unique(own)]))


def _category(path: str) -> str:
    """The last level of a category, without the collections and promotions behind it."""
    return re.split(r" (?:Collections|Promotions)", path)[0].split("/")[-1]
