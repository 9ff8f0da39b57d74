"""The shipped policies on drawings: python -m benchmarks.safety_clipart PICTURES --work FOLDER

No labelled picture set for safety policies is freely available. The nearest is the Open Clip Art Library (Debian's
`openclipart-png`; PICTURES is its folder `png`). Its folder of weapons plays the policy `weapons`, its folder of drinks
plays a policy about drinks, and its other pictures are negatives. They are some hundred drawings, not photographs:
enough to see whether prompts and a few labels work, but not how well.

The pictures are indexed, scored by the shipped prompts, and for weapons a head is trained from 16 pictures and 256
others, five times, and measured on the rest.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

import firstsight
from benchmarks.safety import NEGATIVES, SEEDS, training_set
from firstsight.heads.fitting import fit_best, make_folds
from firstsight.heads.view_sample import ViewSample, matrix, texts
from firstsight.safety.policy.policies import Policy, load_policies
from firstsight.safety.scoring.zero_shot import prompt_directions, zero_shot_head
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS

OTHERS = 2_000
SHOTS = 16
FOLDERS = {"weapons": ("tools/weapons", "weapons"), "drinks": ("food/beverages", "alcohol")}
"""Name -> folder of the positives, and policy with the prompts."""


def catalogue(pictures: Path, file: Path) -> None:
    """Write a catalogue of all pictures of the folders and a sample of the others, without titles."""
    chosen = sorted(path for folder, _ in FOLDERS.values() for path in (pictures / folder).rglob("*.png"))
    rest = sorted(set(pictures.rglob("*.png")) - set(chosen) - set((pictures / "unsorted").rglob("*")))
    rest = [rest[n] for n in np.random.default_rng(0).permutation(len(rest))[:OTHERS]]
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["item_id", "images"])
        writer.writerows((str(path.relative_to(pictures)), str(path)) for path in [*chosen, *rest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "clipart.csv"
    catalogue(arguments.pictures, file)
    policy = firstsight.MediaPolicy(allow_anywhere=True)
    db = firstsight.open(arguments.work / "clipart-db", encoder="starter", policy=policy)
    db.index(file)
    store = Store.open(arguments.work / "clipart-db")
    views = store.views.search().select(["item_id", "vector"]).limit(None).to_arrow().sort_by("item_id")
    vectors, ids = matrix(views["vector"], store.spec.dim), np.array(texts(views["item_id"]))
    policies = load_policies()
    directions = prompt_directions([policies[name] for _, name in FOLDERS.values()], db.encoder)
    sample = ViewSample.sample(store)
    for name, (folder, policy_id) in FOLDERS.items():
        labels = np.char.startswith(ids, folder + "/").astype(np.int8)
        head = zero_shot_head(policies[policy_id], directions[policy_id], sample, store.spec.fingerprint)
        scores = head.logits(vectors, ["image"] * len(ids))
        top = labels[np.argsort(-scores)[: int(labels.sum())]].mean()
        print(
            f"{name}: {labels.sum()} of {len(ids)} pictures; by the prompts of {policy_id} average precision "
            f"{average_precision_score(labels, scores):.3f} (chance {labels.mean():.3f}), {top:.0%} of the first "
            f"{labels.sum()} are right",
            flush=True,
        )
        few_shots(policies[policy_id], vectors, labels, directions[policy_id], name)


def few_shots(
    policy: Policy, vectors: NDArray[np.float32], labels: NDArray[np.int8], direction: NDArray[np.float32], name: str
) -> None:
    """Compare a head from few positives with its prompts and the nearest centroid, on the other pictures."""
    means = dict.fromkeys(HEAD_PARTS, vectors.mean(axis=0))
    precisions: dict[str, list[float]] = {"head": [], "prompts": [], "nearest centroid": []}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        positives = rng.permutation(np.flatnonzero(labels == 1))
        negatives = rng.permutation(np.flatnonzero(labels == 0))
        rows = np.concatenate([positives[:SHOTS], negatives[:NEGATIVES]])
        test = np.concatenate([positives[SHOTS:], negatives[NEGATIVES:]])
        data = training_set(vectors[rows], labels[rows])
        fit = fit_best(data, means, direction, folds=make_folds(data))
        near = vectors[positives[:SHOTS]].mean(axis=0) - vectors[negatives[:NEGATIVES]].mean(axis=0)
        scores = {
            "head": fit.unit_logits(training_set(vectors[test], labels[test])),
            "prompts": vectors[test] @ direction,
            "nearest centroid": vectors[test] @ near,
        }
        for method, values in scores.items():
            precisions[method].append(float(average_precision_score(labels[test], values)))
    means_text = ", ".join(f"{method} {np.mean(values):.3f}" for method, values in precisions.items())
    print(f"{name}: {SHOTS} positives, {SEEDS} seeds, average precision on the rest: {means_text}", flush=True)


if __name__ == "__main__":
    main()
