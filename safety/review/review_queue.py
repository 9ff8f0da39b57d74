"""Review queue: appeals, items that changed after a person's block, and items that scores sent to review.

Appeals come first, oldest first. The others are ordered by the priority of a review:

    severity (1 to 5) x uncertainty (0 to 1) x log2(2 + reach)

Severity comes from the policy. Uncertainty is the binary entropy of the score in bits: 1 at a probability of 0.5, where
a label also teaches the head most (uncertainty sampling; Lewis and Gale, SIGIR 1994). Reach is a column of the
catalogue, such as views or sales; its logarithm is used because it spans many orders of magnitude. If an item has
several policies, the one with the highest priority counts.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from firstsight.errors import SafetyError
from firstsight.records import Record
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.override_table import DECISION_COLUMN
from firstsight.safety.policy.policies import Policies
from firstsight.storage.store import Store

SCORES_COLUMN = "safety_scores"
"""Column of `items` with the score of each policy: JSON, policy id -> probability."""

_BATCH = 10_000

QueueReason = Literal["appeal", "changed", "score"]


@dataclass(frozen=True)
class QueueEntry(Record):
    """An item to review."""

    item_id: str
    title: str | None
    why: QueueReason  # an appeal; a change since a person's block; or its scores
    policy: str | None  # the policy with the highest priority
    score: float | None  # of that policy, a probability
    severity: int  # of that policy; 0 without a policy
    uncertainty: float  # 0 to 1
    reach: float  # 0 if the catalogue has no value
    priority: float
    note: str = ""  # the appeal's reason, or the decision's


def uncertainty(score: float) -> float:
    """Return the binary entropy of a probability in bits: 0 at 0 and 1, 1 at 0.5."""
    if not 0.0 < score < 1.0:
        return 0.0
    return -score * math.log2(score) - (1 - score) * math.log2(1 - score)


def review_queue(
    store: Store, reviews: Reviews, policies: Policies, *, reach: str | None = None, limit: int = 50
) -> list[QueueEntry]:
    """Return the items to review first, in order; ties by id.

    Memory grows with `limit` and the number of people's decisions, not with the catalogue.

    Args:
        store: the database.
        reviews: `current_reviews(store, log)`.
        policies: the policies in force, for their severities; other policies have a severity of 1.
        reach: a number column of the catalogue; None to ignore reach.
        limit: maximum number of items, 1 or more.

    Raises:
        SafetyError: `reach` is no number column, or `limit` is below 1.
    """
    if limit < 1:
        raise SafetyError(f"the limit is {limit}; it must be 1 or more")
    if reach is not None and store.column_kinds().get(reach) != "number":
        numbers = sorted(name for name, kind in store.column_kinds().items() if kind == "number")
        raise SafetyError(
            f"there is no number column {reach!r} for reach; the number columns: {', '.join(numbers) or 'none'}"
        )
    severities = {policy.id: policy.severity for policy in policies.all}
    appealed = [
        _entry(row, reviews, severities, reach, why="appeal")
        for row in _rows_of_items(store, reach, sorted(reviews.appeals))
    ]
    appealed.sort(key=lambda entry: (reviews.appeals[entry.item_id].time, entry.item_id))
    waiting = heapq.nsmallest(
        limit, _waiting(store, reviews, severities, reach), key=lambda entry: (-entry.priority, entry.item_id)
    )
    return [*appealed, *waiting][:limit]


def _waiting(store: Store, reviews: Reviews, severities: Mapping[str, int], reach: str | None) -> Iterator[QueueEntry]:
    """Yield the items in review without appeal, and the changed items that a person blocked."""
    if DECISION_COLUMN in store.items.schema.names:
        for row in _rows(store, reach, f"{DECISION_COLUMN} = 'review'"):
            if row["item_id"] not in reviews.appeals and row["item_id"] not in reviews.decisions:
                yield _entry(row, reviews, severities, reach, why="score")
    decided = [item_id for item_id in sorted(reviews.decisions) if item_id not in reviews.appeals]
    for row in _rows_of_items(store, reach, decided):
        decision, now = reviews.decisions[row["item_id"]], reviews.in_force(row["item_id"], row["digest"])
        if now is None:
            if row.get(DECISION_COLUMN) == "review":  # changed since a person allowed it, and in review by its scores
                yield _entry(row, reviews, severities, reach, why="score")
        elif now.action == "review":
            yield _entry(row, reviews, severities, reach, why="changed" if decision.action == "block" else "score")


def _rows_of_items(store: Store, reach: str | None, item_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for part in store.rows_by_id(store.items, item_ids, columns=_columns(store, reach)):
        yield from part.to_pylist()


def _rows(store: Store, reach: str | None, condition: str) -> Iterator[dict[str, Any]]:
    search = store.items.search().where(condition).select(_columns(store, reach)).limit(None)
    for batch in search.to_batches(_BATCH):
        yield from batch.to_pylist()


def _columns(store: Store, reach: str | None) -> list[str]:
    names = store.items.schema.names
    columns = ["item_id", "title", "digest", *(name for name in (DECISION_COLUMN, SCORES_COLUMN) if name in names)]
    return columns + ([reach] if reach else [])


def _entry(
    row: Mapping[str, Any], reviews: Reviews, severities: Mapping[str, int], reach: str | None, *, why: QueueReason
) -> QueueEntry:
    item_id = row["item_id"]
    decision, appeal = reviews.decisions.get(item_id), reviews.appeals.get(item_id)
    reached = max(float(row[reach] or 0.0), 0.0) if reach else 0.0
    weight = math.log2(2.0 + reached)
    scores = _scores(row)
    if why != "score":  # a person must review it, whatever its scores: only the severity of the policy counts
        judged = decision.policies if decision else tuple(scores)
        weighted = [(severities.get(policy, 1), 1.0, policy) for policy in judged]
    else:
        weighted = [(severities.get(policy, 1), uncertainty(score), policy) for policy, score in scores.items()]
    # the highest product first; a policy with a certain score still comes before no policy
    severity, doubt, policy = max(weighted, key=lambda w: (w[0] * w[1], w[0], w[2]), default=(0, 1.0, None))
    note = appeal.reason if why == "appeal" and appeal else decision.reason if decision else ""
    return QueueEntry(
        item_id=item_id,
        title=row["title"],
        why=why,
        policy=policy,
        score=None if policy is None else scores.get(policy),
        severity=severity,
        uncertainty=doubt,
        reach=reached,
        priority=max(severity, 1) * doubt * weight,
        note=note,
    )


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    """Return probabilities by policy; empty for an item that was never scored."""
    raw = row.get(SCORES_COLUMN)
    plain = json.loads(raw) if isinstance(raw, str) else raw or {}
    return {policy: float(score) for policy, score in plain.items() if score is not None}
