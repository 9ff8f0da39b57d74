"""Retrieval quality of the `starter` encoder, compared with chance and with its untrained start.

"untrained" is ConSE as published (bare class names, temperature 2). "start" is the start of our training (names and
definitions, temperature 1.5). "visual" is `starter:visual`: the trained bridge and the visual part. Below the table are
its gains with pictures as queries, with 95 % intervals of paired bootstraps that draw whole products.

    python benchmarks/starter.py --stamps /usr/share/tuxpaint/stamps --luma DIR [--json]

Neither set is part of the training. Protocol:

* Stamps (Debian's `tuxpaint-stamps-default`): every PNG outside `symbols/` with a caption, except mirrored copies. The
  caption is the first line of the text file of the same name. Each caption is a query over all pictures. Recall@k is
  the share of captions with a picture of that caption among the first k results. `strict` counts only the caption's own
  picture: a few captions, such as "A strawberry.", belong to several pictures.
* Luma (a folder with catalog.csv, columns item_id, parent, title, category, color, image): precision@10 is the share of
  the first ten results in the right category, averaged over queries. A category is the shop's path without its
  promotional end ("Gear/Bags Collections Erin Recommends" is "Gear/Bags"). The queries are each item's title, each
  existing "colour category" pair ("blue tees"), and each item's own picture. An item is never a result of its own
  query. Its other colours are; `strict` excludes them. For "colour category", `colour` is the share of the first ten in
  the right colour, and `both` the share that is right in both. "Item" is the mean of the vectors of title and picture,
  as an index has it; `x1.5` weighs the picture 1.5 times. "Same product" is the share of pictures with another colour
  of their product among the first ten, of products in several colours.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors, unit
from firstsight.encoders.starter.bridge import TEMPERATURE, Bridge
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import VISUAL_PATH
from firstsight.encoders.starter.visual import VisualPart

Figures = dict[str, float]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Stamps:
    captions: list[str]
    pictures: list[Path]


@dataclass(frozen=True)
class Luma:
    titles: list[str]
    parents: NDArray[np.str_]
    categories: NDArray[np.str_]
    colours: NDArray[np.str_]
    pictures: list[Path]

    @property
    def colour_queries(self) -> list[tuple[str, str]]:
        pairs = {(str(colour), str(category)) for colour, category in zip(self.colours, self.categories, strict=True)}
        return sorted(pair for pair in pairs if pair[0])


def read_stamps(folder: Path) -> Stamps:
    captions, pictures = [], []
    for picture in sorted(folder.rglob("*.png")):
        text = picture.with_suffix(".txt")
        if picture.relative_to(folder).parts[0] == "symbols" or "_mirror" in picture.stem or not text.is_file():
            continue
        caption = text.read_text(encoding="utf-8", errors="replace").split("\n")[0].strip()
        if caption:
            captions.append(caption)
            pictures.append(picture)
    return Stamps(captions, pictures)


def read_luma(folder: Path) -> Luma:
    with (folder / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Luma(
        titles=[row["title"] for row in rows],
        parents=np.array([row["parent"] for row in rows]),
        categories=np.array([re.split(r" (?:Collections|Promotions) ", row["category"])[0] for row in rows]),
        colours=np.array([row["color"] for row in rows]),
        pictures=[folder / row["image"] for row in rows],
    )


def recall(scores: NDArray[np.float32], right: Flags, k: int) -> float:
    """Compute the share of rows with a right column among their k highest scores."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(right, first, axis=1).any(axis=1).mean())


def first_right(scores: NDArray[np.float32], right: Flags, k: int, allowed: Flags | None = None) -> Flags:
    """Return whether each row's k highest allowed scores are in right columns, (rows, k)."""
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf).astype(np.float32)
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(right, first, axis=1)


def precision(scores: NDArray[np.float32], right: Flags, k: int, allowed: Flags | None = None) -> float:
    """Compute the mean share of right columns among each row's k highest allowed scores."""
    return float(first_right(scores, right, k, allowed).mean())


def expected(right: Flags, allowed: Flags) -> float:
    """Compute the precision of a random order."""
    return float(((right & allowed).sum(axis=1) / allowed.sum(axis=1)).mean())


def stamp_figures(stamps: Stamps, texts: Vectors, pictures: Vectors) -> Figures:
    scores = texts @ pictures.T
    captions = np.array([caption.lower() for caption in stamps.captions])
    same = captions[:, None] == captions[None, :]
    own = np.eye(len(captions), dtype=bool)
    return {f"stamps R@{k}": recall(scores, same, k) for k in (1, 5, 10)} | {
        f"stamps R@{k} strict": recall(scores, own, k) for k in (1, 5, 10)
    }


def stamp_chance(stamps: Stamps) -> Figures:
    n = len(stamps.captions)
    captions = np.array([caption.lower() for caption in stamps.captions])
    same = (captions[:, None] == captions[None, :]).sum(axis=1)
    # Probability of k draws from n without any of the m right pictures.
    missed = {k: np.prod([(n - same - i) / (n - i) for i in range(k)], axis=0) for k in (1, 5, 10)}
    return {f"stamps R@{k}": float(1 - missed[k].mean()) for k in (1, 5, 10)} | {
        f"stamps R@{k} strict": k / n for k in (1, 5, 10)
    }


def luma_figures(
    luma: Luma, score: Callable[[str], NDArray[np.float32]], measure: Callable[..., float] = precision
) -> Figures:
    """Compute all figures on Luma.

    Args:
        luma: the catalogue.
        score: returns the (queries, items) scores of "title", "colour" or "picture" queries with pictures, and of
            "colour item" and "colour item x1.5" with items.
        measure: `precision`, or `expected` for chance.
    """

    def mean(queries: str, right: Flags, allowed: Flags) -> float:
        if measure is expected:
            return expected(right, allowed)
        return precision(score(queries), right, 10, allowed)

    same_category = luma.categories[:, None] == luma.categories[None, :]
    others = ~np.eye(len(luma.titles), dtype=bool)
    unrelated = luma.parents[:, None] != luma.parents[None, :]
    colours, categories = (np.array(column) for column in zip(*luma.colour_queries, strict=True))
    right_colour = colours[:, None] == luma.colours[None, :]
    right_category = categories[:, None] == luma.categories[None, :]
    everything = np.ones_like(right_category)
    return {
        "luma title -> picture P@10": mean("title", same_category, others),
        "luma title -> picture P@10 strict": mean("title", same_category, unrelated),
        "luma colour category -> picture P@10": mean("colour", right_category, everything),
        "luma colour category -> picture P@10 colour": mean("colour", right_colour, everything),
        "luma colour category -> picture P@10 both": mean("colour", right_category & right_colour, everything),
        "luma colour category -> item P@10": mean("colour item", right_category, everything),
        "luma colour category -> item x1.5 P@10": mean("colour item x1.5", right_category, everything),
        "luma picture -> picture P@10": mean("picture", same_category, others),
        "luma picture -> picture P@10 strict": mean("picture", same_category, unrelated),
    }


def picture_queries(luma: Luma, pictures: Vectors) -> dict[str, NDArray[np.float64]]:
    """Measure each picture as a query: figure -> (items,); NaN for the same product of a product in one colour."""
    scores = pictures @ pictures.T
    same_category = luma.categories[:, None] == luma.categories[None, :]
    same_product = luma.parents[:, None] == luma.parents[None, :]
    others = ~np.eye(len(luma.titles), dtype=bool)
    found = first_right(scores, same_product, 10, others).any(axis=1)
    return {
        "luma picture -> picture P@10": first_right(scores, same_category, 10, others).mean(axis=1),
        "luma picture -> picture P@10 strict": first_right(scores, same_category, 10, ~same_product).mean(axis=1),
        "luma picture -> same product R@10": np.where((same_product & others).any(axis=1), found, np.nan),
    }


def product_interval(luma: Luma, gains: NDArray[np.float64], rounds: int = 2_000) -> tuple[float, float]:
    """Compute the 95 % interval of the mean gain of the items, (items,), by drawing whole products; NaN is left out."""
    known = ~np.isnan(gains)
    products, place = np.unique(luma.parents[known], return_inverse=True)
    sums, counts = np.bincount(place, gains[known]), np.bincount(place)
    drawn = np.random.default_rng(1).integers(0, len(products), (rounds, len(products)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def query_text(colour: str, category: str) -> str:
    return f"{colour} {category.split('/')[-1].lower()}"


@dataclass(frozen=True)
class TowerOutputs:
    """Outputs of both towers, computed once for several bridges."""

    sentences: dict[str, NDArray[np.float32]]
    pictures: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

    def with_temperature(self, temperature: float) -> TowerOutputs:
        """Rescale the logits to simulate another temperature of the bridge's softmax."""
        scale = np.float32(TEMPERATURE / temperature)
        return TowerOutputs(self.sentences, {name: (f, logits * scale) for name, (f, logits) in self.pictures.items()})


def conse(encoder: StarterEncoder) -> Bridge:
    """Make ConSE as published, over the bare names of the ImageNet classes, with both sides centred."""
    from torchvision.models import EfficientNet_B0_Weights

    names = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    vectors = unit(encoder.sentence_vectors(names))
    return Bridge({"text_mean": encoder.bridge.text_mean, "class_vectors": vectors - vectors.mean(axis=0)})


def tower_outputs(encoder: StarterEncoder, stamps: Stamps | None, luma: Luma | None) -> TowerOutputs:
    sentences, pictures = {}, {}
    if stamps is not None:
        sentences["stamps"] = encoder.sentence_vectors(stamps.captions)
        pictures["stamps"] = encoder.picture_outputs(encoder.pixels(stamps.pictures))
    if luma is not None:
        sentences["title"] = encoder.sentence_vectors(luma.titles)
        sentences["colour"] = encoder.sentence_vectors([query_text(*pair) for pair in luma.colour_queries])
        pictures["luma"] = encoder.picture_outputs(encoder.pixels(luma.pictures))
    return TowerOutputs(sentences, pictures)


def measure_bridge(
    bridge: Bridge, outputs: TowerOutputs, stamps: Stamps | None, luma: Luma | None, visual: VisualPart | None = None
) -> Figures:
    def encoded(texts: str) -> Vectors:
        vectors = bridge.texts(outputs.sentences[texts])
        return vectors if visual is None else visual.extend(vectors)

    def seen(name: str) -> Vectors:
        features, logits = outputs.pictures[name]
        semantic = bridge.pictures(features, logits)
        return semantic if visual is None else visual.join(semantic, features)

    figures: Figures = {}
    if stamps is not None:
        figures |= stamp_figures(stamps, encoded("stamps"), seen("stamps"))
    if luma is not None:
        pictures, titles = seen("luma"), encoded("title")
        against = {
            "title": (titles, pictures),
            "colour": (encoded("colour"), pictures),
            "colour item": (encoded("colour"), unit(titles + pictures)),
            "colour item x1.5": (encoded("colour"), unit(titles + np.float32(1.5) * pictures)),
            "picture": (pictures, pictures),
        }

        def score(queries: str) -> NDArray[np.float32]:
            vectors, items = against[queries]
            return vectors @ items.T

        figures |= luma_figures(luma, score)
        figures["luma picture -> same product R@10"] = float(
            np.nanmean(picture_queries(luma, pictures)["luma picture -> same product R@10"])
        )
    return figures


def chance(stamps: Stamps | None, luma: Luma | None) -> Figures:
    figures: Figures = {}
    if stamps is not None:
        figures |= stamp_chance(stamps)
    if luma is not None:
        figures |= luma_figures(luma, lambda _: np.zeros(0, np.float32), expected)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of the stamps of tuxpaint")
    parser.add_argument("--luma", type=Path, help="folder with catalog.csv and its images")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(arguments)
    if options.stamps is None and options.luma is None:
        parser.error("give --stamps DIR, --luma DIR or both")
    stamps = read_stamps(options.stamps) if options.stamps else None
    luma = read_luma(options.luma) if options.luma else None
    encoder = StarterEncoder()
    outputs = tower_outputs(encoder, stamps, luma)
    trained = encoder.bridge
    visual = VisualPart.load(VISUAL_PATH)
    untrained, softer = conse(encoder), outputs.with_temperature(2.0)
    table = {
        "chance": chance(stamps, luma),
        "untrained": measure_bridge(untrained, softer, stamps, luma),
        "start": measure_bridge(trained.untrained(), outputs, stamps, luma),
        "trained": measure_bridge(trained, outputs, stamps, luma),
        "visual": measure_bridge(trained, outputs, stamps, luma, visual),
    }
    if options.json:
        json.dump(table, sys.stdout, indent=1)
        print()
        return 0
    print(f"{'':46}" + "".join(f"{name:>11}" for name in table))
    for figure in table["trained"]:
        print(f"{figure:46}" + "".join(f"{column.get(figure, np.nan):11.3f}" for column in table.values()))
    if luma is not None:
        features, logits = outputs.pictures["luma"]
        semantic = trained.pictures(features, logits)
        before = picture_queries(luma, semantic)
        for figure, after in picture_queries(luma, visual.join(semantic, features)).items():
            gains = after - before[figure]
            low, high = product_interval(luma, gains)
            print(f"visual - trained, {figure}: {np.nanmean(gains):+.3f} ({low:+.3f} to {high:+.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
