"""Deciding by hand: override, appeal and overturn, each written to the audit log first and then to the item.

A kill between the two leaves the log ahead of the item; `apply_reviews` brings every item up to its log again, and is
called by each of them, and by scoring.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from firstsight.errors import SafetyError, StoreError, first_line
from firstsight.indexer.store import IDS_PER_LOOKUP, Store, quote
from firstsight.safety.audit import AuditLog
from firstsight.safety.decisions import ACTIONS, Action
from firstsight.safety.policies import Policies
from firstsight.safety.reviews import APPEAL, OVERRIDE, OVERTURN, DecisionLabel, HumanDecision, Reviews

DECISION_COLUMN = "safety_decision"
"""Column of `items`: review or block; null for what is shown, and for what was never scored."""

REASON_LENGTH = 4_000


def decide(
    store: Store,
    log: AuditLog,
    item_id: str,
    action: Action,
    *,
    policies: Policies,
    policy_ids: Sequence[str],
    reason: str,
    by: str,
    wait_s: float = 0.0,
) -> HumanDecision:
    """Decide about an item; this overrides its scores until what is encoded of it changes, and labels it for training.

    Args:
        policies: the policies in force.
        policy_ids: what the item was judged under; a block gives each the label 1, an allow the label 0.
        reason: why, for whoever reads the log.
        by: who decides.
        wait_s: seconds to wait for another process that is writing.

    Raises:
        SafetyError: no such item, policy or action, no reason, or the log cannot be written.
        DatabaseBusyError, StoreError: see their own words.
    """
    _check(policies, policy_ids, action, reason, by)
    with store.writing(wait_s):
        record = {"action": action, "policies": list(policy_ids), "reason": reason, "by": by}
        log.append(OVERRIDE, item_id, record | _as_it_is(store, item_id) | {"policy_version": policies.version})
        return _apply_one(store, log, item_id)


def appeal(store: Store, log: AuditLog, item_id: str, *, reason: str, by: str) -> str:
    """Note that somebody objects to the decision about an item: it comes first in the queue, and stays as it is.

    Returns:
        The id of the log's entry.

    Raises:
        SafetyError: no such item, nothing was decided about it, or it is appealed already.
    """
    _check_words(reason, by)
    before = _as_it_is(store, item_id)
    reviews = Reviews.read(log, item_id)
    if before["before"] == "allow" and item_id not in reviews.decisions:
        raise SafetyError(f"item {item_id!r} is neither blocked nor in review: there is nothing to appeal")
    if item_id in reviews.appeals:
        there = reviews.appeals[item_id]
        raise SafetyError(
            f"item {item_id!r} is appealed already, by {there.by} at {there.time[:16]} ({there.entry_id})"
        )
    return log.append(APPEAL, item_id, {"reason": reason, "by": by} | before)


def overturn(
    store: Store,
    log: AuditLog,
    item_id: str,
    *,
    policies: Policies,
    reason: str,
    by: str,
    action: Action | None = None,
    policy_ids: Sequence[str] = (),
    wait_s: float = 0.0,
) -> HumanDecision:
    """Reverse the decision that stands, a person's or the scores'; the labels it gave change with it.

    Args:
        action: what holds from now on; by default the opposite of what stood: allow, or block of what was allowed.
        policy_ids: what it is judged under now; those of the decision that is overturned by default.
        policies, reason, by, wait_s: as for `decide`.

    Raises:
        SafetyError: `action` is what stands already; else as `decide`.
    """
    with store.writing(wait_s):
        facts = _as_it_is(store, item_id)
        made = Reviews.read(log, item_id).in_force(item_id, facts["digest"])
        stood: Action = facts["before"] if made is None else made.action
        chosen: Action = action or ("block" if stood == "allow" else "allow")
        if chosen == stood:
            raise SafetyError(f"item {item_id!r} is on {stood!r} already; an overturn changes it")
        judged = list(policy_ids) or ([] if made is None else list(made.policies))
        _check(policies, judged, chosen, reason, by)
        record: dict[str, Any] = {"action": chosen, "policies": judged, "reason": reason, "by": by, "stood": stood}
        record |= {"overturns": None if made is None else made.entry_id, "policy_version": policies.version}
        log.append(OVERTURN, item_id, record | facts)
        return _apply_one(store, log, item_id)


def apply_reviews(store: Store, reviews: Reviews) -> int:
    """Write to `items` what people decided, where it is not there; the caller holds the writer lock.

    The columns are made where the database was never scored.

    Returns:
        How many items changed.

    Raises:
        StoreError: the database cannot be written.
    """
    if DECISION_COLUMN not in store.items.schema.names:
        store.write_safety({})
    ids = sorted(reviews.decisions)
    wrong: dict[Action, list[str]] = {action: [] for action in ACTIONS}
    for item_id, row in _rows(store, ids):
        made = reviews.in_force(item_id, row["digest"])
        if made is not None and (row[DECISION_COLUMN] or "allow") != made.action:
            wrong[made.action].append(item_id)
    for action, items in wrong.items():
        for start in range(0, len(items), IDS_PER_LOOKUP):
            listed = ", ".join(quote(one) for one in items[start : start + IDS_PER_LOOKUP])
            try:
                shown = "CAST(NULL AS STRING)" if action == "allow" else quote(action)
                store.items.update(where=f"item_id IN ({listed})", values_sql={DECISION_COLUMN: shown})
            except (OSError, RuntimeError) as error:
                raise StoreError(
                    f"{store.uri} could not be written ({first_line(error)}); the decision is in the audit log, and is "
                    "applied by the next one"
                ) from error
    return sum(map(len, wrong.values()))


def review_labels(store: Store, log: AuditLog) -> list[DecisionLabel]:
    """The labels that people's decisions gave, of the items that have not changed since."""
    reviews = Reviews.read(log)
    digests = {item_id: digest for item_id, (digest, _) in store.digests(sorted(reviews.decisions)).items()}
    return reviews.labels(digests)


def write_labels(path: str | os.PathLike[str], labels: Iterable[DecisionLabel]) -> None:
    """Write labels as the CSV that training reads; what was there before is replaced at once.

    Raises:
        SafetyError: the file cannot be written.
    """
    new = Path(f"{os.fspath(path)}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["item_id", "policy", "label", "annotator", "weight"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(vars(label) for label in labels)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise SafetyError(f"{os.fspath(path)} cannot be written ({error.strerror}); choose another file") from None


def _apply_one(store: Store, log: AuditLog, item_id: str) -> HumanDecision:
    reviews = Reviews.read(log)  # of all items: what a kill left of others is settled, too
    apply_reviews(store, reviews)
    return reviews.decisions[item_id]


def _as_it_is(store: Store, item_id: str) -> dict[str, Any]:
    """The item when it was looked at, as the log keeps it."""
    found = dict(_rows(store, [item_id])).get(item_id)
    if found is None:
        raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
    if not found["digest"]:
        raise SafetyError(
            f"item {item_id!r} was left half written by a run that died; run firstsight index again first"
        )
    return {"digest": found["digest"], "before": found.get(DECISION_COLUMN) or "allow"}


def _rows(store: Store, item_ids: Sequence[str]) -> Iterable[tuple[str, dict[str, Any]]]:
    columns = ["item_id", "digest", *({DECISION_COLUMN} & set(store.items.schema.names))]
    for start in range(0, len(item_ids), IDS_PER_LOOKUP):
        listed = ", ".join(quote(one) for one in item_ids[start : start + IDS_PER_LOOKUP])
        found = store.items.search().where(f"item_id IN ({listed})").select(columns).limit(None)
        for row in found.to_arrow().to_pylist():
            yield row["item_id"], row


def _check(policies: Policies, policy_ids: Sequence[str], action: str, reason: str, by: str) -> None:
    if action not in ACTIONS:
        raise SafetyError(f"{action!r} is no decision; choose one of {', '.join(ACTIONS)}")
    if not policy_ids:
        raise SafetyError("a decision is made under a policy, since it becomes its label; name it with --policy")
    for policy_id in policy_ids:
        policies[policy_id]
    _check_words(reason, by)


def _check_words(reason: str, by: str) -> None:
    if not reason.strip() or not by.strip():
        raise SafetyError("the audit log needs a reason and a name: --reason WHY --by WHO")
    if len(reason) > REASON_LENGTH:
        raise SafetyError(f"the reason has {len(reason):,} characters; {REASON_LENGTH:,} is the most")
