"""Explanation of an item's decision, with scores, cuts, evidence and history: `firstsight safety explain`."""

from __future__ import annotations

from typing import Any

from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.safety.review.history import history
from firstsight.storage.store import Store


def explain(
    store: Store, item_id: str, policies: Policies, log: AuditLog | None = None, *, region: str | None = None
) -> dict[str, Any]:
    """Return the decision about an item with all its scores and its history, as plain values.

    Args:
        store: the database.
        item_id: the item.
        policies: the policies in force.
        log: the audit log, for the history; None for no history.
        region: region whose cuts are shown; None for the default cuts.

    Returns:
        A dict with these keys. item_id. decision: as searches see it now. min_age: in years. policy_version and
        scored_at: of the last scoring, None if only people have decided. evidence: as in `Decision`. scores: for each
        policy, the highest first, the score, the current cuts in the region, and the scoring head. history: the log's
        entries in words, oldest first.

    Raises:
        SafetyError: the item does not exist, was neither scored nor decided, or a line of the log is no entry.
        AuditLogError: the log cannot be read.
    """
    if not store.digests([item_id]):
        raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
    row = ScoreTable(store).row(item_id)
    entries = [] if log is None else [entry.as_dict() for entry in history(log, item_id)]
    if row is None and not entries:
        raise SafetyError(f"item {item_id!r} was not scored yet; run: firstsight safety score")
    heads = HeadShelf(store).promoted()
    scores = []
    for policy_id, score in sorted((row["scores"] if row else {}).items(), key=lambda pair: -pair[1]):
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
    shown = store.safety_rows([item_id]).get(item_id, {})
    record = None if row is None else row["record"]
    return {
        "item_id": item_id,
        "decision": shown.get("safety_decision") or "allow",
        "min_age": shown.get("safety_min_age"),
        "policy_version": row and row["policy_version"],
        "scored_at": row and row["scored_at"].isoformat(),
        "evidence": [] if record is None else [piece.as_dict() for piece in record.evidence],
        "scores": scores,
        "history": entries,
    }
