"""Accuracy of heads, cuts and reports against their guarantees: python -m benchmarks.safety --work FOLDER

The pictures are real products, not real violations, because no labelled set of violations is available. Each class of
Debian's `dataset-fashion-mnist` (apt-get install) plays the forbidden content in turn, at a prevalence of 1 % unless
stated otherwise. The pictures are grey and 28 x 28, which no encoder was made for, so the figures compare methods, not
products. The first run encodes 10,000 pictures with starter and keeps their vectors in FOLDER.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score

import firstsight
from firstsight.encoders.base import Vectors
from firstsight.heads.array_types import Floats, Labels
from firstsight.heads.calibration import HeadCalibration, calibrate
from firstsight.heads.curves import reliability
from firstsight.heads.fitting import TrainingSet, fit_best, make_folds
from firstsight.heads.label_noise import find_suspects
from firstsight.heads.slices import slice_rates
from firstsight.heads.thresholds import choose_threshold
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.safety.scoring.zero_shot import prompt_directions
from firstsight.storage.tables import HEAD_PARTS

DATASET = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
PREVALENCE = 0.01
SHOTS = (1, 2, 4, 8, 16, 32, 64)
NEGATIVES = 256
SEEDS = 5
SPLITS = 200


def pictures(work: Path, encoder: firstsight.Encoder) -> tuple[Vectors, NDArray[np.uint8]]:
    """Return (10,000, dim) vectors, and classes, of the test pictures."""
    with gzip.open(DATASET / "t10k-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read(), np.uint8, offset=8)
    kept = work / f"fashion-{encoder.spec.name}-{len(classes)}.npy"
    if not kept.exists():
        with gzip.open(DATASET / "t10k-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        parts = []
        for start in range(0, len(pixels), 500):
            # on white, as in a shop
            batch = [Image.fromarray(255 - picture).convert("RGB") for picture in pixels[start : start + 500]]
            parts.append(encoder.encode_images(batch))
        np.save(kept, np.concatenate(parts))
    return np.load(kept), classes


def policies() -> Policies:
    rows = [
        f"  - {{id: {name.replace(' ', '-')}, name: {name}, severity: 1, parts: [image],"
        f' prompts: ["a photo of a {name}"],'
        ' neutral_prompts: ["a photo of clothes", "a photo of a product"]}'
        for name in CLASSES
    ]
    return parse_policies("policies:\n" + "\n".join(rows), "fashion")


def training_set(vectors: Vectors, labels: Labels) -> TrainingSet:
    n = len(labels)
    ids = np.arange(n)
    image = np.full(n, HEAD_PARTS.index("image"), np.int8)
    return TrainingSet(vectors, image, ids, tuple(map(str, ids)), labels, np.ones(n), ids.astype(str).astype(object))


def at_prevalence(labels: Labels, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return rows with a share of positives: all negatives, and a draw of positives."""
    negatives = np.flatnonzero(labels == 0)
    positives = np.flatnonzero(labels == 1)
    count = round(len(negatives) * share / (1 - share))
    return np.concatenate([negatives, rng.choice(positives, count, replace=False)])


def few_shots(vectors: Vectors, classes: NDArray[np.uint8], encoder: firstsight.Encoder) -> None:
    """Compare average precision at 1 %: head, zero-shot and nearest centroid; all classes, mean of five seeds."""
    chosen = policies()
    directions = prompt_directions(chosen.all, encoder)
    precisions: dict[str, dict[int, list[float]]] = {"head": {}, "zero-shot": {}, "nearest centroid": {}}
    mean = vectors.mean(axis=0)
    means = dict.fromkeys(HEAD_PARTS, mean)
    for number, policy in enumerate(chosen.all):
        labels = (classes == number).astype(np.int8)
        for seed in range(SEEDS):
            rng = np.random.default_rng([number, seed])
            order = rng.permutation(len(labels))
            pool, held = order[: len(order) // 2], order[len(order) // 2 :]
            test = held[at_prevalence(labels[held], PREVALENCE, rng)]
            positives = pool[labels[pool] == 1]
            negatives = pool[labels[pool] == 0][:NEGATIVES]
            zero_shot = vectors[test] @ directions[policy.id]
            for shots in SHOTS:
                rows = np.concatenate([positives[:shots], negatives])
                data = training_set(vectors[rows], labels[rows])
                fit = fit_best(data, means, directions[policy.id], folds=make_folds(data))
                near = vectors[positives[:shots]].mean(axis=0) - vectors[negatives].mean(axis=0)
                of_test = training_set(vectors[test], labels[test])
                for name, scores in (
                    ("head", fit.unit_logits(of_test)),
                    ("zero-shot", zero_shot),
                    ("nearest centroid", vectors[test] @ near),
                ):
                    precisions[name].setdefault(shots, []).append(float(average_precision_score(labels[test], scores)))
    print(f"average precision at {PREVALENCE:.0%}, {len(CLASSES)} classes x {SEEDS} seeds, {NEGATIVES} negatives")
    print("shots             " + "".join(f"{shots:>8d}" for shots in SHOTS))
    for name, curve in precisions.items():
        print(f"{name:18s}" + "".join(f"{np.mean(curve[shots]):8.3f}" for shots in SHOTS), flush=True)


def scored(vectors: Vectors, labels: Labels, rows: int = 2_000) -> tuple[Floats, NDArray[np.int64]]:
    """Train a head on the first rows, and return the logits and places of the other rows."""
    order = np.random.default_rng(0).permutation(len(labels))
    trained, rest = order[:rows], order[rows:]
    data = training_set(vectors[trained], labels[trained])
    fit = fit_best(data, dict.fromkeys(HEAD_PARTS, vectors.mean(axis=0)), None, folds=make_folds(data))
    return fit.unit_logits(training_set(vectors[rest], labels[rest])), rest


def splits(heads: list[tuple[str, Floats, Labels]]) -> None:
    """Count missed targets over draws with replacement, so that the population and its real rates are known."""
    for name, logits, labels in heads:
        _splits(logits, labels, name)


def _splits(logits: Floats, labels: Labels, name: str) -> None:
    rows = at_prevalence(labels, PREVALENCE, np.random.default_rng(0))
    logits, labels = logits[rows], labels[rows]
    for target, value in (("precision", 0.5), ("precision", 0.8), ("precision", 0.9), ("recall", 0.8), ("recall", 0.9)):
        missed = attained = 0
        other = []
        for seed in range(SPLITS):
            drawn = np.random.default_rng(seed).integers(0, len(labels), 20_000)
            found = choose_threshold(logits[drawn], labels[drawn], **{target: value})
            if not found.attainable:
                continue
            attained += 1
            flagged = logits >= found.cut
            hits = labels[flagged].sum()
            real = {"precision": hits / max(flagged.sum(), 1), "recall": hits / labels.sum()}
            missed += real[target] < value
            other.append(real["recall" if target == "precision" else "precision"])
        with_it = f", {'recall' if target == 'precision' else 'precision'} {np.mean(other):.3f}" if other else ""
        print(
            f"{name:10s} {target:9s} {value}: missed in {missed} of {SPLITS} draws, attained in {attained}{with_it}",
            flush=True,
        )


def calibration(heads: list[tuple[str, Floats, Labels]]) -> None:
    """Compare calibration error and Brier score with the plain sigmoid, on 5,000 rows outside the calibration."""
    for name, logits, labels in heads:
        _calibration(logits, labels, name)


def _calibration(logits: Floats, labels: Labels, name: str) -> None:
    order = np.random.default_rng(1).permutation(len(labels))
    for share, how in ((None, "as drawn, 10 %"), (PREVALENCE, "at 1 %")):
        fitting, rest = order[:-5_000], order[-5_000:]
        if share is not None:
            rng = np.random.default_rng(2)
            fitting, rest = (part[at_prevalence(labels[part], share, rng)] for part in (fitting, rest))
        fitted = calibrate(logits[fitting], labels[fitting])
        after = reliability(fitted(logits[rest]), labels[rest])
        before = reliability(HeadCalibration()(logits[rest]), labels[rest])
        print(
            f"{name:10s} {how:15s} {len(rest)} rows, {fitted.method:8s}: calibration error "
            f"{after.calibration_error:.4f} (plain {before.calibration_error:.4f}), Brier {after.brier:.5f} (plain "
            f"{before.brier:.5f})",
            flush=True,
        )


def label_noise(vectors: Vectors, classes: NDArray[np.uint8]) -> None:
    """Find flipped labels: one of ten, among 2,000 rows."""
    footwear = np.isin(classes, (5, 7, 9))
    for name, positive in (("footwear", footwear), ("bag", classes == 8), ("coat", classes == 4)):
        figures = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            rows = rng.choice(len(classes), 2_000, replace=False)
            labels = positive[rows].astype(np.int8)
            flipped = rng.random(len(rows)) < 0.1
            found = find_suspects(vectors[rows], np.where(flipped, 1 - labels, labels)).rows
            figures.append((flipped[found].sum() / flipped.sum(), flipped[found].mean()))
        recall, precision = np.mean(figures, axis=0)
        print(f"{name:10s} {positive.mean():.0%} positive: {recall:.0%} of flips found, precision {precision:.0%}")


def slices(logits: Floats, labels: Labels) -> None:
    """Test random slices, once equal and once with 3 % of one slice's negatives flagged as well; 20 seeds."""
    cut = choose_threshold(logits, labels, recall=0.9).cut
    planted = even = echoes = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = {"language": rng.integers(0, 6, len(labels)), "seller": rng.integers(0, 40, len(labels))}
        flagged = logits >= cut
        even += any(rate.differs for rate in slice_rates(flagged, labels, columns))
        more = flagged | ((columns["language"] == 0) & (labels == 0) & (rng.random(len(labels)) < 0.03))
        odd = [(rate.column, rate.value) for rate in slice_rates(more, labels, columns) if rate.differs]
        planted += ("language", "0") in odd
        echoes += any(name != ("language", "0") for name in odd)
    print(
        f"46 slices, 92 rates: planted gap flagged in {planted} of 20 seeds, another slice in {echoes}; a slice of an "
        f"equal table in {even} of 20",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", choices=["shots", "splits", "calibration", "noise", "slices"])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    encoder = firstsight.load_encoder("starter")
    vectors, classes = pictures(arguments.work, encoder)
    heads: list[tuple[str, Floats, Labels]] = []
    for number in (1, 8, 4):  # easy, middling, hard: trousers, bags, coats
        labels = (classes == number).astype(np.int8)
        logits, rest = scored(vectors, labels)
        heads.append((CLASSES[number], logits, labels[rest]))
    parts: dict[str, Callable[[], None]] = {
        "shots": lambda: few_shots(vectors, classes, encoder),
        "splits": lambda: splits(heads),
        "calibration": lambda: calibration(heads),
        "noise": lambda: label_noise(vectors, classes),
        "slices": lambda: slices(heads[1][1], heads[1][2]),
    }
    for name, run in parts.items():
        if arguments.only in (None, name):
            start = time.perf_counter()
            run()
            print(f"({name}: {time.perf_counter() - start:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
