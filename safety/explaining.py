"""What an item was given, under which cuts, and why: the scores' part of `firstsight safety explain`."""

from __future__ import annotations

from typing import Any

from firstsight.errors import SafetyError
from firstsight.indexer.store import Store
from firstsight.safety.heads import HeadShelf
from firstsight.safety.policies import Policies
from firstsight.safety.score_table import ScoreTable


def explain(store: Store, item_id: str, policies: Policies, region: str | None = None) -> dict[str, Any]:
    """The decision about an item with all its scores, as plain values.

    Returns:
        item_id, decision, min_age, policy_version, scored_at, evidence as in `Decision`, and scores: for each policy,
        the highest first, its score, the cuts that hold today in the region, and the head that scores.

    Raises:
        SafetyError: there is no such item, or it was not scored.
    """
    if not store.digests([item_id]):
        raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
    row = ScoreTable(store).row(item_id)
    if row is None:
        raise SafetyError(f"item {item_id!r} was not scored yet; run: firstsight safety score")
    heads = HeadShelf(store).promoted()
    scores = []
    for policy_id, score in sorted(row["scores"].items(), key=lambda pair: -pair[1]):
        head = heads.get(policy_id)
        known = head is not None and policy_id in policies
        review, block = head.cuts(policies[policy_id], region) if head is not None and known else (None, None)
        scores.append(
            {
                "policy": policy_id,
                "name": policies[policy_id].name if policy_id in policies else policy_id,
                "score": score,
                "review": review,
                "block": block,
                "source": None if head is None else head.kind,
                "calibrated": head is not None and head.calibrated,
                "head": None if head is None else head.version,
            }
        )
    record = row["record"]
    return {
        "item_id": item_id,
        "decision": row["decision"],
        "min_age": row["min_age"],
        "policy_version": row["policy_version"],
        "scored_at": row["scored_at"].isoformat(),
        "evidence": [] if record is None else [one.as_dict() for one in record.evidence],
        "scores": scores,
    }
