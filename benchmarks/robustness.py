"""Robustness of starter and of safety heads: python -m benchmarks.robustness --work FOLDER [--luma DIR --clipart DIR]

Retrieval: `evaluate robustness` on sample_media, and on the catalogue of a shop (`--luma`, a folder with catalog.csv),
as a Markdown table for docs/models/starter.md.

Safety (`--clipart`, the folder `png` of Debian's `openclipart-png`): no labelled picture set for policies is freely
available, see benchmarks/safety_clipart.py. The folders of weapons and drinks play two policies, 300 other drawings are
negatives. First, heads are trained on half of the units, and measured on the other half under evasions and corruptions.
Then heads are trained on all units with and without changed copies, as `safety train --augment` compares them. They are
some hundred drawings, so intervals are wide.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from pathlib import Path

import numpy as np

import firstsight
from benchmarks.safety_clipart import FOLDERS
from firstsight.retrieval.evaluation.robustness.robustness_report import RobustnessTask
from firstsight.safety.policy.policies import Policies, load_policies, parse_policies

SAMPLE = Path(__file__).parent.parent / "sample_media" / "catalogue.csv"
OTHERS = 300
TARGETS = firstsight.TrainSettings(precision=0.5, recall=0.8, confidence=0.8)
"""Targets that some dozen positives can prove."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def retrieval(name: str, catalogue: Path, sample: int, strengths: tuple[int, ...] | None) -> None:
    """Print the table of one catalogue: recall@1 and @10 kept by each corruption, and by typos and paraphrases."""
    encoder = firstsight.load_encoder("starter")
    settings = firstsight.RobustnessSettings(sample=sample, strengths=strengths)
    options = firstsight.CatalogOptions()
    database = firstsight.open(catalogue.parent / "no-database", policy=firstsight.MediaPolicy())
    report = database.evaluation.robustness(
        settings, catalogue=catalogue, options=options, encoder=encoder, on_progress=say
    )
    print(f"\n### {name}: {report.sampled} pictures among {report.candidates} products\n", flush=True)
    columns: list[tuple[RobustnessTask, int]] = [("picture to product", 1), ("text to picture", 10)]
    shown = sorted({one.strength for one in report if one.strength} & set(strengths or (1, 3, 5)))
    levels = [level for level in shown if level in (1, 3, 5)]
    heads = [f"{task}, R@{k}, {level}" for task, k in columns for level in levels]
    print("| change | " + " | ".join([*heads, "mean of " + columns[0][0], "mean of " + columns[1][0]]) + " |")
    print("|" + "---|" * (len(heads) + 3))
    changes = list(dict.fromkeys(one.change for one in report if one.task == columns[0][0]))
    for change in changes:
        cells, means = [], []
        for task, k in columns:
            found = {one.strength: one for one in report.select(task, change, k)}
            cells += [f"{found[level].kept:.2f}" if level in found else "" for level in levels]
            mean = found.get(None) or next(iter(found.values()))
            means.append(f"{mean.kept:.2f} ({mean.low:.2f} to {mean.high:.2f})")
        print(f"| {change} | " + " | ".join([*cells, *means]) + " |")
    for task in ("typos", "paraphrases"):
        for one in report.figures:
            if one.task == task and one.k == 10 and one.column is None:
                level = f" {one.strength}" if task == "typos" and one.strength else ""
                print(
                    f"{one.change}{level}: R@10 {one.clean:.3f} -> {one.recall:.3f}, kept {one.kept:.2f} "
                    f"({one.low:.2f} to {one.high:.2f}), {one.queries} queries"
                )
    sys.stdout.flush()


def clipart(pictures: Path, work: Path) -> None:
    """Index the drawings, and measure heads of both policies."""
    chosen = {name: sorted((pictures / folder).rglob("*.png")) for name, (folder, _) in FOLDERS.items()}
    used = {path for paths in chosen.values() for path in paths}
    rest = sorted(set(pictures.rglob("*.png")) - used - set((pictures / "unsorted").rglob("*")))
    others = [rest[n] for n in np.random.default_rng(0).permutation(len(rest))[:OTHERS]]
    catalogue = work / "robustness-clipart.csv"
    with catalogue.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "images"])
        writer.writerows((str(path.relative_to(pictures)), str(path)) for path in sorted({*used, *others}))
    db = firstsight.open(
        work / "robustness-clipart-db", encoder="starter", policy=firstsight.MediaPolicy(allow_anywhere=True)
    )
    db.index(catalogue)
    policies = _picture_policies(load_policies())
    safety = db.safety.with_policies(policies)
    rows: list[dict[str, object]] = []
    for name, (_, policy) in FOLDERS.items():
        rows += [_label(path, pictures, policy, 1) for path in chosen[name]]
        rows += [_label(path, pictures, policy, 0) for path in others]
    stored = {str(row["item_id"]) for row in rows} - {failure.item_id for failure in db.indexing.failures()}
    rows = [row for row in rows if row["item_id"] in stored]
    half = [row for row in rows if hashlib.blake2b(str(row["item_id"]).encode()).digest()[0] % 2 == 0]
    safety.train(half, settings=TARGETS, skip_bad_labels=True, on_progress=say)
    report = safety.heads.robustness(rows, strengths=(1, 3, 5), sample=60, skip_bad_labels=True, on_progress=say)
    for note in report.notes:
        print(note)
    print("\n| policy | change | recall | kept | false positives | PDQ |\n|---|---|---|---|---|---|")
    for one in report:
        print(
            f"| {one.policy} ({one.positives} positives) | {one.change} {one.strength or ''} | {one.recall:.2f} "
            f"({one.low:.2f} to {one.high:.2f}) | {one.kept:.2f} | {one.false_positive_rate:.3f} | "
            f"{one.hash_recall:.2f} |"
        )
    sys.stdout.flush()
    settings = firstsight.TrainSettings(precision=0.5, recall=0.8, confidence=0.8, augment=True)
    trained = safety.train(rows, settings=settings, skip_bad_labels=True, promote=False, on_progress=say)
    for head in trained.heads:
        print(f"\n{head.policy_id}: {head.figures['augmentation']}", flush=True)


def _picture_policies(shipped: Policies) -> Policies:
    """The shipped policies of the folders, on pictures alone: the drawings have no titles."""
    lines = ["policies:"]
    for _, policy_id in FOLDERS.values():
        policy = shipped[policy_id]
        prompts, neutral = list(policy.prompts), list(policy.neutral_prompts)
        fields = f"id: {policy_id}, name: {policy_id}, severity: 3, parts: [image, frame]"
        lines.append(f"  - {{{fields}, prompts: {prompts!r}, neutral_prompts: {neutral!r}}}")
    return parse_policies("\n".join(lines), "benchmark")


def _label(path: Path, pictures: Path, policy: str, label: int) -> dict[str, object]:
    return {"item_id": str(path.relative_to(pictures)), "policy": policy, "label": label}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--strengths", type=int, nargs="*")
    parser.add_argument("--luma", type=Path)
    parser.add_argument("--clipart", type=Path)
    parser.add_argument("--only", choices=["sample_media", "luma", "clipart"])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    strengths = tuple(arguments.strengths) if arguments.strengths else None
    if arguments.only in (None, "sample_media"):
        retrieval("sample_media", SAMPLE, arguments.sample, strengths)
    if arguments.luma and arguments.only in (None, "luma"):
        retrieval("luma", arguments.luma / "catalog.csv", arguments.sample, strengths)
    if arguments.clipart and arguments.only in (None, "clipart"):
        clipart(arguments.clipart, arguments.work)


if __name__ == "__main__":
    main()
