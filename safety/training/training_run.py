"""`firstsight safety train` and `retrain`: from labels to heads that are kept, and in force where that is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from firstsight.encoders.base import Encoder
from firstsight.errors import SafetyError
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.heads.labels import Label, LabelSet
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import TRAIN, BoundLog
from firstsight.safety.audit.log_link import Entry, read_link
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.safety.review.review_actions import review_labels
from firstsight.safety.scoring.zero_shot import load_prompt_directions
from firstsight.safety.training.head_training import TrainedHead, train
from firstsight.safety.training.policy_labels import check_labels, read_labels, read_rows
from firstsight.storage.store import Store

TRAIN_WAIT_S = 60.0
"""For another process that is writing: what was trained should not be lost to it."""


@dataclass(frozen=True)
class TrainReport:
    """What a training made."""

    heads: tuple[Head, ...]  # as they are kept, with their versions
    trained: tuple[TrainedHead, ...]  # with what they were measured on
    problems: tuple[str, ...]  # rows of labels that were left out
    verdicts: tuple[str, ...] = ()  # of a retraining, for each head: why it is in use, or not


def train_from_file(
    store: Store,
    path: str | os.PathLike[str],
    policies: Policies,
    *,
    encoder: Callable[[], Encoder] | None = None,
    settings: TrainSettings | None = None,
    skip_bad_labels: bool = False,
    promote: bool = True,
    log: AuditLog | None = None,
    wait_s: float = TRAIN_WAIT_S,
    on_progress: Callable[[str], None] = lambda step: None,
) -> TrainReport:
    """Train a head for each policy that a file has labels of, keep them, and let them score, all at once.

    Args:
        path: a CSV file; see `firstsight.safety.training.policy_labels`.
        encoder: called to encode prompts, where a policy that has labels has any; without it they are not used.
        skip_bad_labels: leave out rows that cannot be used, instead of refusing the file.
        promote: let the heads score from now on, in the place of those before.
        log: the audit log, which gets one entry for each head; by default that of the database.

    Raises:
        SafetyError: labels that cannot be used.
        AuditLogError: the log cannot be written, or is not the database's; the heads before are in force.
        DatabaseBusyError, StoreError: the heads could not be kept; those before are in force.
    """
    _require_log(store, log)
    labels = read_labels(path, policies, store)
    if not skip_bad_labels:
        labels.require_clean()
    trained = _train(store, labels, policies, encoder, settings, {}, on_progress)
    chosen = [promote] * len(trained)
    return _store_heads(store, trained, chosen, labels, settings, log, wait_s)


def retrain(
    store: Store,
    policies: Policies,
    log: AuditLog,
    path: str | os.PathLike[str] | None = None,
    *,
    encoder: Callable[[], Encoder] | None = None,
    settings: TrainSettings | None = None,
    wait_s: float = TRAIN_WAIT_S,
    on_progress: Callable[[str], None] = lambda step: None,
) -> TrainReport:
    """Train challengers from people's decisions, and from a file of labels where one is given; promote by the rule.

    A challenger takes the place of its policy's head as `champion` states, on held-out labels that neither was
    fitted on; where no head is in use, it is the first. Of an item that both the file and a decision label,
    the decision counts. Rows that cannot be used are left out and named in the report, and so is a policy whose
    decisions are all of one kind.

    Raises:
        SafetyError: nothing to train from; otherwise as `train_from_file`.
    """
    _require_log(store, log)
    rows, problems = ([], []) if path is None else read_rows(path, policies)
    decided = [
        Label(one.policy, "item", one.item_id, one.label, one.weight, one.annotator)
        for one in review_labels(store, log)
        if one.policy in policies and not policies[one.policy].retired
    ]
    settled = {(row.policy_id, row.name) for row in decided}
    kept = [row for row in rows if (row.policy_id, row.item_id or "") not in settled]
    labels = check_labels([*kept, *decided], store, problems)
    if not labels.rows:
        raise SafetyError(
            "there is nothing to train from: decisions to block and decisions to allow are needed under one policy; "
            "give a file of labels beside them: firstsight safety retrain LABELS.csv"
        )
    champions = HeadShelf(store).promoted()
    trained = _train(store, labels, policies, encoder, settings, champions, on_progress)
    chosen, verdicts = [], []
    for one in trained:
        first = one.head.policy_id not in champions
        chosen.append(first or (one.comparison is not None and one.comparison.promote))
        if first:
            verdicts.append("promoted: no head was in use")
        elif one.comparison is None:
            verdicts.append("kept aside: there are too few labels to hold any out")
        else:
            verdicts.append(one.comparison.reason)
    return _store_heads(store, trained, chosen, labels, settings, log, wait_s, verdicts)


def _require_log(store: Store, log: AuditLog | None) -> None:
    """Refuse a log that is not the database's before hours of training, and not after them."""
    log = AuditLog.of(store.uri) if log is None else log
    link, _ = read_link(store)
    if link is not None:
        BoundLog(store, log, link).require()


def _train(
    store: Store,
    labels: LabelSet,
    policies: Policies,
    encoder: Callable[[], Encoder] | None,
    settings: TrainSettings | None,
    champions: dict[str, Head],
    on_progress: Callable[[str], None],
) -> list[TrainedHead]:
    named = sorted({row.policy_id for row in labels.rows})
    directions = load_prompt_directions(store, [policies[policy_id] for policy_id in named], encoder)
    by_id = {policy.id: policy for policy in policies.all}
    return train(
        store, labels, by_id, directions=directions, settings=settings, champions=champions, on_progress=on_progress
    )


def _store_heads(
    store: Store,
    trained: list[TrainedHead],
    promote: list[bool],
    labels: LabelSet,
    settings: TrainSettings | None,
    log: AuditLog | None,
    wait_s: float,
    verdicts: Iterable[str] = (),
) -> TrainReport:
    """Keep the heads, log them, and then let those score that are chosen, as the log's entries say."""
    told = tuple(verdicts)
    chosen = asdict(settings or TrainSettings())
    with store.writing(wait_s):
        bound = BoundLog.open(store, log)
        bound.prepare()
        shelf = HeadShelf(store)
        kept = shelf.add([one.head for one in trained])
        entries: list[Entry] = []
        for n, (head, one) in enumerate(zip(kept, trained, strict=True)):
            entry = head.as_dict() | {"promoted": promote[n], "labels": head.basis, **chosen}
            if one.comparison is not None:
                entry |= {"champion": {k: v for k, v in one.comparison.as_dict().items() if v == v}}  # JSON has no NaN
            entries.append((TRAIN, head.policy_id, entry | ({"verdict": told[n]} if told else {})))
        bound.append(entries)
        kept = [shelf.version(head.version) for head in kept]
    return TrainReport(tuple(kept), tuple(trained), labels.problems, told)
