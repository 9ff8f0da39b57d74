"""Decisions by people: override, appeal and overturn, each written to the audit log first and then to the tables.

After a kill between the two, the next command that writes updates the tables (`bound_log.py`). A repeated request, for
example after a broken connection, returns the existing entry.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from firstsight.errors import DatabaseBusyError, SafetyError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.audit.entry_kinds import APPEAL, OVERRIDE, OVERTURN
from firstsight.safety.audit.human_decisions import Appeal, DecisionLabel, HumanDecision, Reviews
from firstsight.safety.audit.log_link import read_link
from firstsight.safety.audit.override_table import DECISION_COLUMN, current_reviews, read_item_decisions, read_reviews
from firstsight.safety.policy.decisions import ACTIONS, Action
from firstsight.safety.policy.policies import Policies
from firstsight.storage.store import Store

REASON_LENGTH = 4_000
"""Maximum number of characters in a reason."""


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
    """Decide about an item; this overrides its scores until its encoded content changes, and gives training labels.

    Args:
        store: the database.
        log: its audit log.
        item_id: the item.
        action: action for the item from now on.
        policies: the policies in force.
        policy_ids: policies behind the decision; a block gives each the label 1, an allow the label 0.
        reason: the reason, for readers of the log.
        by: name of the person who decides.
        wait_s: maximum wait in seconds for another process that is writing.

    Returns:
        The decision; the existing decision if it is the same in every field.

    Raises:
        SafetyError: the item, policy or action does not exist, or the reason or the name is missing.
        AuditLogError: the log cannot be written, or belongs to another database; nothing has changed.
        DatabaseBusyError: another process is writing for longer than `wait_s`.
        StoreError: the database cannot be written.
    """
    _check(policies, policy_ids, action, reason, by)
    with store.writing(wait_s):
        facts = _item_facts(store, item_id)
        bound = BoundLog.open(store, log)
        facts = _item_facts(store, item_id)  # again: opening the log may finish the work of a killed command
        existing, open_appeal = _read_stored(store, item_id)
        content = (action, tuple(policy_ids), reason, by, facts["digest"])
        if existing is not None and open_appeal is None and existing.kind == OVERRIDE and _content(existing) == content:
            return existing
        record = {"action": action, "policies": list(policy_ids), "reason": reason, "by": by}
        return _log_decision(bound, OVERRIDE, item_id, record | facts | {"policy_version": policies.version})


def appeal(store: Store, log: AuditLog, item_id: str, *, reason: str, by: str, wait_s: float = 0.0) -> str:
    """Record an appeal: the item comes first in the review queue, and its decision stays.

    While another process is writing, the appeal is only logged, so that no index run delays it.

    Args:
        store: the database.
        log: its audit log.
        item_id: the item.
        reason: the reason, for readers of the log.
        by: name of the person who objects.
        wait_s: maximum wait in seconds for another process that is writing, if the database has no audit log yet.

    Returns:
        The id of the log's entry.

    Raises:
        SafetyError: the item does not exist, is allowed by its scores, or has another open appeal; or the reason or the
            name is missing.
        AuditLogError: the log cannot be written, or belongs to another database; nothing has changed.
        DatabaseBusyError: another process is writing for longer than `wait_s`, and the database has no audit log yet.
        StoreError: the database cannot be written.
    """
    _check_reason(reason, by)
    before = _item_facts(store, item_id)
    reviews = current_reviews(store, log)
    if before["before"] == "allow" and item_id not in reviews.decisions:
        raise SafetyError(f"item {item_id!r} is neither blocked nor in review, so there is nothing to appeal")
    if item_id in reviews.appeals:
        existing = reviews.appeals[item_id]
        if (existing.reason, existing.by) == (reason, by):
            with contextlib.suppress(DatabaseBusyError), store.writing():
                BoundLog.open(store, log)  # after a kill, the appeal may be only in the log
            return existing.entry_id
        raise SafetyError(
            f"item {item_id!r} is appealed already, by {existing.by} at {existing.time[:16]} ({existing.entry_id})"
        )
    entry = (APPEAL, item_id, {"reason": reason, "by": by} | before)
    link, _ = read_link(store)
    try:
        with store.writing(wait_s if link is None else 0.0):
            return BoundLog.open(store, log).append([entry])[0]
    except DatabaseBusyError:
        if link is None:
            raise
    BoundLog(store, log, link).require()
    return log.append(*entry)  # the next command that writes stores it in the database


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
    """Reverse the decision in force, a person's or the scores'; its training labels change with it.

    Args:
        store: the database.
        log: its audit log.
        item_id: the item.
        policies, reason, by, wait_s: as for `decide`.
        action: action from now on; by default "allow" for a blocked or reviewed item, and "block" for an allowed one.
        policy_ids: policies behind the new decision; by default those of the overturned decision.

    Returns:
        The decision; the existing decision if it is an overturn for the same reason by the same person.

    Raises:
        SafetyError: the item has this action already; otherwise as for `decide`.
        AuditLogError, DatabaseBusyError, StoreError: as for `decide`.
    """
    with store.writing(wait_s):
        facts = _item_facts(store, item_id)
        bound = BoundLog.open(store, log)
        facts = _item_facts(store, item_id)  # again: opening the log may finish the work of a killed command
        stored, open_appeal = _read_stored(store, item_id)
        current = Reviews({} if stored is None else {item_id: stored}, {}).in_force(item_id, facts["digest"])
        if current is not None and current.kind == OVERTURN and open_appeal is None:
            content = (action or current.action, tuple(policy_ids) or current.policies, reason, by, facts["digest"])
            if _content(current) == content:
                return current
        before: Action = facts["before"] if current is None else current.action
        chosen: Action = action or ("block" if before == "allow" else "allow")
        if chosen == before:
            raise SafetyError(f"the decision about item {item_id!r} is {before!r} already; choose another action")
        judged = list(policy_ids) or ([] if current is None else list(current.policies))
        _check(policies, judged, chosen, reason, by)
        record: dict[str, Any] = {"action": chosen, "policies": judged, "reason": reason, "by": by, "stood": before}
        record |= {"overturns": None if current is None else current.entry_id, "policy_version": policies.version}
        return _log_decision(bound, OVERTURN, item_id, record | facts)


def review_labels(store: Store, log: AuditLog) -> list[DecisionLabel]:
    """Return the training labels from people's decisions, for the items that have not changed since.

    Raises:
        AuditLogError: the log cannot be read.
        SafetyError: a line of the log is no entry.
    """
    reviews = Reviews.read(log)
    digests = {item_id: digest for item_id, (digest, _) in store.digests(sorted(reviews.decisions)).items()}
    return reviews.labels(digests)


def write_labels(path: str | os.PathLike[str], labels: Iterable[DecisionLabel]) -> None:
    """Write labels as a CSV file for training; an existing file is replaced at once.

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


def _log_decision(bound: BoundLog, kind: str, item_id: str, record: dict[str, Any]) -> HumanDecision:
    bound.append([(kind, item_id, record)])
    return read_reviews(bound.store, [item_id]).decisions[item_id]


def _read_stored(store: Store, item_id: str) -> tuple[HumanDecision | None, Appeal | None]:
    """Return the stored decision about an item, even if the item has changed since, and the open appeal."""
    stored = read_reviews(store, [item_id])
    return stored.decisions.get(item_id), stored.appeals.get(item_id)


def _content(decision: HumanDecision) -> tuple[str, tuple[str, ...], str, str, str]:
    return decision.action, decision.policies, decision.reason, decision.by, decision.digest


def _item_facts(store: Store, item_id: str) -> dict[str, Any]:
    """Return the item's digest and decision, for the log."""
    row = read_item_decisions(store, [item_id]).get(item_id)
    if row is None:
        raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
    if not row["digest"]:
        raise SafetyError(
            f"item {item_id!r} is incomplete, because an index run was killed; run firstsight index again first"
        )
    return {"digest": row["digest"], "before": row.get(DECISION_COLUMN) or "allow"}


def _check(policies: Policies, policy_ids: Sequence[str], action: str, reason: str, by: str) -> None:
    if action not in ACTIONS:
        raise SafetyError(f"{action!r} is no decision; choose one of {', '.join(ACTIONS)}")
    if not policy_ids:
        raise SafetyError("a decision needs a policy, because it becomes a label of the policy; name it with --policy")
    for policy_id in policy_ids:
        policies[policy_id]
    _check_reason(reason, by)


def _check_reason(reason: str, by: str) -> None:
    if not reason.strip() or not by.strip():
        raise SafetyError("the audit log needs a reason and a name: --reason WHY --by WHO")
    if len(reason) > REASON_LENGTH:
        raise SafetyError(f"the reason has {len(reason):,} characters; shorten it to {REASON_LENGTH:,}")
