"""Methods for few labels: accuracy at 1, 2, 4, 8 and 16 labels a class, on products that gave no label.

    python -m benchmarks.understanding methods --data FOLDER
    python -m benchmarks.understanding_parts.methods --encoder starter --labels LABELS.csv [--prompt "a photo of a {}"]

LABELS.csv has the columns `image` (a path, relative to the file), `class`, and optionally `group` (a product: all its
pictures are on one side of each split). Drawn labels are of different groups; every other group is for testing. Figures
are means over the classes of the share of right answers, over five draws, with their lowest and highest.
"""

from __future__ import annotations

import argparse
import csv
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import firstsight
from firstsight.encoders.base import Encoder, Vectors
from firstsight.encoders.prompting.text_towers import load_text_tower
from firstsight.errors import EncoderError
from firstsight.heads.array_types import Indices
from firstsight.heads.methods.class_fit import ClassShots, fit_classes
from firstsight.heads.methods.learned_context import ContextRecipe
from firstsight.heads.methods.text_tower import TextTower

LABELS = (1, 2, 4, 8, 16)
SEEDS = range(5)
PROMPT = "a photo of {}"


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with classes, and the prompts of the classes."""

    vectors: Vectors  # (n, dim)
    labels: Indices  # (n,) places in `classes`
    groups: np.ndarray[tuple[int], np.dtype[np.object_]]  # (n,)
    classes: tuple[str, ...]
    prompts: Vectors  # (classes, dim)


def encode(
    encoder: Encoder, pictures: Sequence[Path], names: Sequence[str], groups: Sequence[str], prompt: str
) -> LabelledPictures:
    """Encode pictures and the prompts of their classes."""
    classes = tuple(sorted(set(names)))
    return LabelledPictures(
        encoder.encode_images(list(pictures)),
        np.array([classes.index(name) for name in names], dtype=np.int64),
        np.array(groups, dtype=object),
        classes,
        encoder.encode_texts([prompt.format(name.lower()) for name in classes]),
    )


def draw(data: LabelledPictures, count: int, seed: int) -> Indices:
    """Rows of up to `count` labels a class, each of a group of its own; one group of each class remains for testing."""
    generator = np.random.default_rng(seed)
    rows: list[int] = []
    for place in range(len(data.classes)):
        of_class = data.labels == place
        groups = generator.permutation(sorted(set(data.groups[of_class])))
        for group in groups[: max(1, min(count, len(groups) - 1))]:
            rows.append(int(generator.choice(np.flatnonzero(of_class & (data.groups == group)))))
    return np.array(rows)


def accuracy(data: LabelledPictures, rows: Indices, method: str, tower: TextTower | None) -> float:
    """Mean over the classes of the share of right answers on groups without a label."""
    test = np.flatnonzero(~np.isin(data.groups, data.groups[rows]))
    labels = data.labels[test]
    if method == "prompts":
        answers = (data.vectors[test] @ data.prompts.T).argmax(axis=1)
    else:
        shots = ClassShots(
            data.vectors[rows], data.labels[rows], data.classes, np.ones(len(rows)), data.groups[rows], data.prompts
        )
        if method == "coop":  # one fit: its cross-validation calibrates, and changes no answer
            assert tower is not None
            fit = ContextRecipe(tower, tuple((name.lower(),) for name in data.classes)).fit
            answers = fit(shots).logits(data.vectors[test]).argmax(axis=1)
        else:
            answers = fit_classes(shots, method).probabilities(data.vectors[test]).argmax(axis=1)
    return float(np.mean([np.mean(answers[labels == place] == place) for place in np.unique(labels)]))


def measure(data: LabelledPictures, tower: TextTower | None, coop_seeds: int = 1) -> None:
    """Print the table of all methods.

    Args:
        data: the pictures.
        tower: text tower of the encoder; without it, there is no row of coop.
        coop_seeds: draws of coop, whose fits take seconds.
    """
    print(f"{len(data.labels)} pictures of {len(set(data.groups))} groups in {len(data.classes)} classes")
    print("| method | " + " | ".join(f"{count} label{'s' * (count > 1)}" for count in LABELS) + " | CPU s a fit |")
    print("|---|" + "---|" * (len(LABELS) + 1))
    methods = ["prompts", "linear", "prompt-offset", "tip-adapter", *(["coop"] if tower else []), "auto"]
    for method in methods:
        seeds = list(SEEDS)[:coop_seeds] if method == "coop" else list(SEEDS)
        began, cells = time.process_time(), []
        for count in LABELS:
            values = [accuracy(data, draw(data, count, seed), method, tower) for seed in seeds]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        seconds = (time.process_time() - began) / len(seeds) / len(LABELS)
        print(f"| {method} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


def run(data: Path) -> None:
    """Measure starter on the categories of luma_men_gear; a group is a product in all its colours."""
    folder = data / "luma_men_gear"
    with (folder / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [re.sub(r" (Collections|Promotions).*", "", row["category"]).rpartition("/")[2] for row in rows]
    encoder = firstsight.load_encoder("starter")
    pictures = encode(encoder, [folder / row["image"] for row in rows], names, [row["parent"] for row in rows], PROMPT)
    _measure(pictures, encoder)


def _measure(pictures: LabelledPictures, encoder: Encoder) -> None:
    try:
        tower = load_text_tower(encoder)
    except EncoderError as error:
        print(f"without coop: {error}")
        tower = None
    with threadpool_limits(1):  # CPU seconds of one thread; several wait for each other on small matrices
        measure(pictures, tower)


def main() -> None:
    """Measure an encoder on labels of one's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="starter", help="name of the encoder; starter by default")
    parser.add_argument("--labels", type=Path, required=True, help="CSV file with image, class and optionally group")
    parser.add_argument("--prompt", default=PROMPT, help="prompt of a class, with {} for its name")
    arguments = parser.parse_args()
    with arguments.labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    encoder = firstsight.load_encoder(arguments.encoder)
    paths = [arguments.labels.parent / row["image"] for row in rows]
    groups = [row.get("group") or row["image"] for row in rows]
    _measure(encode(encoder, paths, [row["class"] for row in rows], groups, arguments.prompt), encoder)


if __name__ == "__main__":
    main()
