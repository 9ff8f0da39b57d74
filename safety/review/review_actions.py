"""Deciding by hand: override, appeal and overturn, each written to the audit log first and then to the tables.

A kill between the two leaves the log ahead; the next command that writes makes up for it (`bound_log.py`). A repeated
request, of somebody whose first try was killed or whose connection broke, is answered with the entry that is there.
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
from firstsight.safety.audit.human_decisions import (
    APPEAL,
    OVERRIDE,
    OVERTURN,
    Appeal,
    DecisionLabel,
    HumanDecision,
    Reviews,
)
from firstsight.safety.audit.log_link import read_link
from firstsight.safety.audit.override_table import DECISION_COLUMN, current_reviews, decided_rows, read_reviews
from firstsight.safety.policy.decisions import ACTIONS, Action
from firstsight.safety.policy.policies import Policies
from firstsight.storage.store import Store

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
        store: the database.
        log: its audit log.
        item_id: the item.
        action: what happens to it from now on.
        policies: the policies in force.
        policy_ids: what the item was judged under; a block gives each the label 1, an allow the label 0.
        reason: why, for whoever reads the log.
        by: who decides.
        wait_s: seconds to wait for another process that is writing.

    Returns:
        The decision; the one that stands, if it is the same in every part.

    Raises:
        SafetyError: no such item, policy or action, or no reason.
        AuditLogError: the log cannot be written, or is not the database's; nothing has changed.
        DatabaseBusyError, StoreError: the database cannot be written.
    """
    _check(policies, policy_ids, action, reason, by)
    with store.writing(wait_s):
        facts = _item_facts(store, item_id)
        bound = BoundLog.open(store, log)
        facts = _item_facts(store, item_id)  # with what a kill had left
        stands, open_appeal = _read_stored(store, item_id)
        asked = (action, tuple(policy_ids), reason, by, facts["digest"])
        if stands is not None and open_appeal is None and stands.kind == OVERRIDE and _content(stands) == asked:
            return stands
        record = {"action": action, "policies": list(policy_ids), "reason": reason, "by": by}
        return _log_decision(bound, OVERRIDE, item_id, record | facts | {"policy_version": policies.version})


def appeal(store: Store, log: AuditLog, item_id: str, *, reason: str, by: str, wait_s: float = 0.0) -> str:
    """Note that somebody objects to the decision about an item: it comes first in the queue, and stays as it is.

    While another process is writing, the appeal is logged alone, so that no index run delays it.

    Args:
        store: the database.
        log: its audit log.
        item_id: the item.
        reason: why, for whoever reads the log.
        by: who objects.
        wait_s: seconds to wait for another process that is writing, where the database has no audit log yet.

    Returns:
        The id of the log's entry.

    Raises:
        SafetyError: no such item, nothing was decided about it, or it is appealed already.
        AuditLogError: the log cannot be written, or is not the database's; nothing has changed.
        DatabaseBusyError, StoreError: the database cannot be written.
    """
    _check_reason(reason, by)
    before = _item_facts(store, item_id)
    reviews = current_reviews(store, log)
    if before["before"] == "allow" and item_id not in reviews.decisions:
        raise SafetyError(f"item {item_id!r} is neither blocked nor in review: there is nothing to appeal")
    if item_id in reviews.appeals:
        there = reviews.appeals[item_id]
        if (there.reason, there.by) == (reason, by):
            with contextlib.suppress(DatabaseBusyError), store.writing():
                BoundLog.open(store, log)  # a kill may have left it in the log alone
            return there.entry_id
        raise SafetyError(
            f"item {item_id!r} is appealed already, by {there.by} at {there.time[:16]} ({there.entry_id})"
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
    return log.append(*entry)  # the writer's next command, or another's, takes it into the database


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
        store: the database.
        log: its audit log.
        item_id: the item.
        policies, reason, by, wait_s: as for `decide`.
        action: what holds from now on; by default the opposite of what stood: allow, or block of what was allowed.
        policy_ids: what it is judged under now; those of the decision that is overturned by default.

    Returns:
        The decision; the one that stands, if it is an overturn for the same reason by the same person.

    Raises:
        SafetyError: `action` is what stands already; else as `decide`.
        AuditLogError, DatabaseBusyError, StoreError: as `decide`.
    """
    with store.writing(wait_s):
        facts = _item_facts(store, item_id)
        bound = BoundLog.open(store, log)
        facts = _item_facts(store, item_id)  # with what a kill had left
        stands, open_appeal = _read_stored(store, item_id)
        made = Reviews({} if stands is None else {item_id: stands}, {}).in_force(item_id, facts["digest"])
        if made is not None and made.kind == OVERTURN and open_appeal is None:
            asked = (action or made.action, tuple(policy_ids) or made.policies, reason, by, facts["digest"])
            if _content(made) == asked:
                return made
        stood: Action = facts["before"] if made is None else made.action
        chosen: Action = action or ("block" if stood == "allow" else "allow")
        if chosen == stood:
            raise SafetyError(f"item {item_id!r} is on {stood!r} already; an overturn changes it")
        judged = list(policy_ids) or ([] if made is None else list(made.policies))
        _check(policies, judged, chosen, reason, by)
        record: dict[str, Any] = {"action": chosen, "policies": judged, "reason": reason, "by": by, "stood": stood}
        record |= {"overturns": None if made is None else made.entry_id, "policy_version": policies.version}
        return _log_decision(bound, OVERTURN, item_id, record | facts)


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


def _log_decision(bound: BoundLog, kind: str, item_id: str, record: dict[str, Any]) -> HumanDecision:
    bound.append([(kind, item_id, record)])
    return read_reviews(bound.store, [item_id]).decisions[item_id]


def _read_stored(store: Store, item_id: str) -> tuple[HumanDecision | None, Appeal | None]:
    """The decision that stands about an item, whatever it is like now, and the open appeal."""
    stored = read_reviews(store, [item_id])
    return stored.decisions.get(item_id), stored.appeals.get(item_id)


def _content(made: HumanDecision) -> tuple[str, tuple[str, ...], str, str, str]:
    return made.action, made.policies, made.reason, made.by, made.digest


def _item_facts(store: Store, item_id: str) -> dict[str, Any]:
    """The item when it was looked at, as the log keeps it."""
    found = decided_rows(store, [item_id]).get(item_id)
    if found is None:
        raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
    if not found["digest"]:
        raise SafetyError(
            f"item {item_id!r} was left half written by a run that died; run firstsight index again first"
        )
    return {"digest": found["digest"], "before": found.get(DECISION_COLUMN) or "allow"}


def _check(policies: Policies, policy_ids: Sequence[str], action: str, reason: str, by: str) -> None:
    if action not in ACTIONS:
        raise SafetyError(f"{action!r} is no decision; choose one of {', '.join(ACTIONS)}")
    if not policy_ids:
        raise SafetyError("a decision is made under a policy, since it becomes its label; name it with --policy")
    for policy_id in policy_ids:
        policies[policy_id]
    _check_reason(reason, by)


def _check_reason(reason: str, by: str) -> None:
    if not reason.strip() or not by.strip():
        raise SafetyError("the audit log needs a reason and a name: --reason WHY --by WHO")
    if len(reason) > REASON_LENGTH:
        raise SafetyError(f"the reason has {len(reason):,} characters; {REASON_LENGTH:,} is the most")
