"""Explanation of an item's decision, with scores, cuts, evidence and history: `firstsight safety explain`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from firstsight.errors import SafetyError
from firstsight.records import Record
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.decisions import Action, Evidence, Source
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.safety.review.history import EntryDescription, history
from firstsight.storage.store import Store


@dataclass(frozen=True)
class PolicyScore(Record):
    """The score of an item for one policy, with the cuts that apply now."""

    policy: str  # id
    name: str  # of the policy
    score: float  # 0 to 1
    review: float | None  # cut in the region; None without a head of a known policy
    block: float | None  # cut in the region; None if nothing is blocked
    source: Source | None  # kind of the head in use; None without one
    calibrated: bool  # whether the score is a probability, calibrated on held-out labels
    head: int | None  # version of the head in use


@dataclass(frozen=True)
class Explanation(Record):
    """The decision about an item, and everything behind it."""

    item_id: str
    decision: Action  # as searches see it now
    min_age: int | None  # years
    policy_version: str | None  # of the last scoring; None if only people have decided
    scored_at: datetime | None  # UTC
    evidence: tuple[Evidence, ...]  # of the last scoring
    scores: tuple[PolicyScore, ...]  # the highest first
    history: tuple[EntryDescription, ...]  # the log's entries about the item, oldest first


def explain(
    store: Store, item_id: str, policies: Policies, log: AuditLog | None = None, *, region: str | None = None
) -> Explanation:
    """Explain the decision about an item by its evidence, its scores and its history.

    Args:
        store: the database.
        item_id: the item.
        policies: the policies in force.
        log: the audit log, for the history; None for no history.
        region: region whose cuts are shown; None for the default cuts.

    Raises:
        SafetyError: the item does not exist, was neither scored nor decided, or a line of the log is no entry.
        AuditLogError: the log cannot be read.
    """
    if not store.digests([item_id]):
        raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
    row = ScoreTable(store).row(item_id)
    entries = () if log is None else tuple(history(log, item_id))
    if row is None and not entries:
        raise SafetyError(f"item {item_id!r} was not scored yet; run: firstsight safety score")
    heads = HeadShelf(store).promoted()
    scores = []
    for policy_id, score in sorted((row["scores"] if row else {}).items(), key=lambda pair: -pair[1]):
        head = heads.get(policy_id)
        known = head is not None and policy_id in policies
        review, block = head.cuts(policies[policy_id], region) if head is not None and known else (None, None)
        scores.append(
            PolicyScore(
                policy=policy_id,
                name=policies[policy_id].name if policy_id in policies else policy_id,
                score=score,
                review=review,
                block=block,
                source=None if head is None else head.kind,
                calibrated=head is not None and head.calibrated,
                head=None if head is None else head.version,
            )
        )
    shown = store.safety_rows([item_id]).get(item_id, {})
    record = None if row is None else row["record"]
    return Explanation(
        item_id=item_id,
        decision=shown.get("safety_decision") or "allow",
        min_age=shown.get("safety_min_age"),
        policy_version=None if row is None else row["policy_version"],
        scored_at=None if row is None else row["scored_at"],
        evidence=() if record is None else record.evidence,
        scores=tuple(scores),
        history=entries,
    )
