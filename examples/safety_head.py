"""Train a head for a safety policy, score a catalogue with it, and review what it finds.

python examples/safety_head.py [DB]
"""

from __future__ import annotations

import sys
from pathlib import Path

import firstsight

HERE = Path(__file__).parent


def main(folder: str) -> None:
    with firstsight.open(folder) as db:
        db.index(HERE.parent / "sample_media" / "catalogue.csv")
        items = db.to_arrow(columns=["item_id", "category"], vectors=False).read_all().to_pylist()
        labels = [
            {"item_id": item["item_id"], "policy": "instruments", "label": int(item["category"] == "music")}
            for item in items
        ]

        safety = db.safety.with_policies(HERE / "policies.yaml")
        # ten instruments cannot prove the default targets of 95 % precision and 90 % recall
        (head,) = safety.train(labels, settings=firstsight.TrainSettings(precision=0.5, recall=0.5)).heads
        print(f"average precision on held-out items: {head.figures['average_precision']:.3f}")
        report = safety.score()
        print(f"{report.allow} items are allowed, {report.review} wait for a review, {report.block} are blocked")

        found = safety.explain("guitar-acoustic")
        print(f"\nguitar-acoustic: {found.decision}")
        for evidence in found.evidence:
            print(f"  {evidence.policy_id}: {evidence.part} has score {evidence.score:.3f}")
        print("guitars in a search:", [result.item_id for result in db.search("acoustic guitar", k=2)])

        # a decision by a person holds, whatever the next scoring says
        safety.decide("guitar-acoustic", "allow", policy="instruments", reason="this shop may sell it", by="ana")
        safety.score(everything=True)
        print("guitars after the decision:", [result.item_id for result in db.search("acoustic guitar", k=2)])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples-db")
