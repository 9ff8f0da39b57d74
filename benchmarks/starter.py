"""Retrieval quality of the `starter` encoder, compared with chance and with its untrained start.

"untrained" is ConSE as published (bare class names, temperature 2). "start" is the start of our training (names and
definitions, temperature 1.5).

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
  the right colour, and `both` the share that is right in both.
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


def precision(scores: NDArray[np.float32], right: Flags, k: int, allowed: Flags | None = None) -> float:
    """Compute the mean share of right columns among each row's k highest allowed scores."""
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf).astype(np.float32)
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(right, first, axis=1).mean())


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
        score: returns the (queries, items) scores of "title", "colour" or "picture" queries.
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
        "luma picture -> picture P@10": mean("picture", same_category, others),
        "luma picture -> picture P@10 strict": mean("picture", same_category, unrelated),
    }


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


def measure_bridge(bridge: Bridge, outputs: TowerOutputs, stamps: Stamps | None, luma: Luma | None) -> Figures:
    figures: Figures = {}
    if stamps is not None:
        texts = bridge.texts(outputs.sentences["stamps"])
        figures |= stamp_figures(stamps, texts, bridge.pictures(*outputs.pictures["stamps"]))
    if luma is not None:
        pictures = bridge.pictures(*outputs.pictures["luma"])

        def score(queries: str) -> NDArray[np.float32]:
            vectors = pictures if queries == "picture" else bridge.texts(outputs.sentences[queries])
            return vectors @ pictures.T

        figures |= luma_figures(luma, score)
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
    untrained, softer = conse(encoder), outputs.with_temperature(2.0)
    table = {
        "chance": chance(stamps, luma),
        "untrained": measure_bridge(untrained, softer, stamps, luma),
        "start": measure_bridge(trained.untrained(), outputs, stamps, luma),
        "trained": measure_bridge(trained, outputs, stamps, luma),
    }
    if options.json:
        json.dump(table, sys.stdout, indent=1)
        print()
        return 0
    print(f"{'':46}" + "".join(f"{name:>11}" for name in table))
    for figure in table["trained"]:
        print(f"{figure:46}" + "".join(f"{column[figure]:11.3f}" for column in table.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
