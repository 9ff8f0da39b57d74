"""What people should look at next: appeals, changed items that were blocked, and what the scores sent to review.

Appeals come first, the oldest at the top. The rest is ordered by what a look at it is worth:

    severity (1 to 5) x uncertainty (0 to 1) x log2(2 + reach)

Severity is the policy's. Uncertainty is the binary entropy of the score in bits: 1 at a probability of a half, where a
label also teaches most (uncertainty sampling; Lewis and Gale, SIGIR 1994). Reach is a column of the catalogue, such as
views or sales: its logarithm, since it spans many orders of magnitude. Of several policies the worthiest counts.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from firstsight.errors import SafetyError
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.override_table import DECISION_COLUMN
from firstsight.safety.policy.policies import Policies
from firstsight.storage.store import Store

SCORES_COLUMN = "safety_scores"
"""Column of `items` with the score of each policy: JSON, policy id -> probability."""

_BATCH = 10_000

QueueReason = Literal["appeal", "changed", "score"]


@dataclass(frozen=True)
class QueueEntry:
    """An item to look at."""

    item_id: str
    title: str | None
    why: QueueReason  # appealed; blocked by a person and changed since; or sent to review by its scores
    policy: str | None  # the one that makes it worth a look
    score: float | None  # of that policy, a probability
    severity: int  # of that policy; 0 where there is none
    uncertainty: float  # 0 to 1
    reach: float  # 0 where the catalogue says nothing
    priority: float
    note: str = ""  # the appeal's reason, or the decision's

    def as_dict(self) -> dict[str, Any]:
        """As plain values for a line of JSON."""
        return dict(vars(self))


def uncertainty(score: float) -> float:
    """The binary entropy of a probability, in bits: 0 where it is certain, 1 at a half."""
    if not 0.0 < score < 1.0:
        return 0.0
    return -score * math.log2(score) - (1 - score) * math.log2(1 - score)


def review_queue(
    store: Store, reviews: Reviews, policies: Policies, *, reach: str | None = None, limit: int = 50
) -> list[QueueEntry]:
    """The items most worth a look, in order; equal ones by id. Memory grows with `limit` and what people decided alone.

    Args:
        reviews: `current_reviews(store, log)`.
        policies: the policies in force, for their severities; of others it is taken to be 1.
        reach: a number column of the catalogue; None to leave it out.
        limit: how many items, 1 or more.

    Raises:
        SafetyError: `reach` is no number column, or `limit` is less than 1.
    """
    if limit < 1:
        raise SafetyError(f"a queue of {limit} items shows nothing; ask for at least 1")
    if reach is not None and store.column_kinds().get(reach) != "number":
        numbers = sorted(name for name, kind in store.column_kinds().items() if kind == "number")
        raise SafetyError(f"there is no number column {reach!r} to tell reach; there is {', '.join(numbers) or 'none'}")
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
    """What is in review, but for appeals; and items that a person blocked and that have changed."""
    if DECISION_COLUMN in store.items.schema.names:
        for row in _rows(store, reach, f"{DECISION_COLUMN} = 'review'"):
            if row["item_id"] not in reviews.appeals and row["item_id"] not in reviews.decisions:
                yield _entry(row, reviews, severities, reach, why="score")
    decided = [item_id for item_id in sorted(reviews.decisions) if item_id not in reviews.appeals]
    for row in _rows_of_items(store, reach, decided):
        made, now = reviews.decisions[row["item_id"]], reviews.in_force(row["item_id"], row["digest"])
        if now is None:
            if row.get(DECISION_COLUMN) == "review":  # what a person allowed has changed, and scores doubt it
                yield _entry(row, reviews, severities, reach, why="score")
        elif now.action == "review":
            yield _entry(row, reviews, severities, reach, why="changed" if made.action == "block" else "score")


def _rows_of_items(store: Store, reach: str | None, item_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for part in store.rows_by_id(store.items, item_ids, columns=_columns(store, reach)):
        yield from part.to_pylist()


def _rows(store: Store, reach: str | None, condition: str) -> Iterator[dict[str, Any]]:
    search = store.items.search().where(condition).select(_columns(store, reach)).limit(None)
    for batch in search.to_batches(_BATCH):
        yield from batch.to_pylist()


def _columns(store: Store, reach: str | None) -> list[str]:
    there = store.items.schema.names
    columns = ["item_id", "title", "digest", *(name for name in (DECISION_COLUMN, SCORES_COLUMN) if name in there)]
    return columns + ([reach] if reach else [])


def _entry(
    row: Mapping[str, Any], reviews: Reviews, severities: Mapping[str, int], reach: str | None, *, why: QueueReason
) -> QueueEntry:
    item_id = row["item_id"]
    made, appeal = reviews.decisions.get(item_id), reviews.appeals.get(item_id)
    reached = max(float(row[reach] or 0.0), 0.0) if reach else 0.0
    weight = math.log2(2.0 + reached)
    scores = _scores(row)
    if why != "score":  # a person has to look at it, whatever its scores: all that is left to weigh is the policy
        judged = made.policies if made else tuple(scores)
        worths = [(severities.get(policy, 1), 1.0, policy) for policy in judged]
    else:
        worths = [(severities.get(policy, 1), uncertainty(score), policy) for policy, score in scores.items()]
    # by product; a policy whose score is certain counts before none
    severity, doubt, policy = max(worths, key=lambda one: (one[0] * one[1], one[0], one[2]), default=(0, 1.0, None))
    note = appeal.reason if why == "appeal" and appeal else made.reason if made else ""
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
    """Probabilities by policy; empty for an item that was never scored."""
    raw = row.get(SCORES_COLUMN)
    plain = json.loads(raw) if isinstance(raw, str) else raw or {}
    return {policy: float(score) for policy, score in plain.items() if score is not None}
