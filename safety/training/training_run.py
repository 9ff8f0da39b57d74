"""`firstsight safety train` and `retrain`: train heads from labels, store them, and put them into use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from firstsight.encoders.base import Encoder
from firstsight.encoders.prompting.text_towers import load_text_tower
from firstsight.errors import SafetyError
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.heads.labels import Label, LabelSet
from firstsight.media.policy import MediaPolicy
from firstsight.records import Record
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.audit.entry_kinds import TRAIN
from firstsight.safety.audit.log_link import Entry, read_link
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.safety.review.review_actions import review_labels
from firstsight.safety.scoring.zero_shot import load_prompt_directions
from firstsight.safety.training.head_training import TrainedHead, train
from firstsight.safety.training.picture_copies import PictureCopier
from firstsight.safety.training.policy_labels import LabelSource, check_labels, read_labels, read_rows
from firstsight.storage.store import Store

TRAIN_WAIT_S = 60.0
"""Maximum wait in seconds for another process that is writing, so that its work does not cost the trained heads."""


@dataclass(frozen=True)
class TrainReport(Record):
    """Result of a training."""

    heads: tuple[Head, ...]  # as stored, with their versions
    trained: tuple[TrainedHead, ...]  # with the units behind their figures
    problems: tuple[str, ...]  # rows of labels that were left out, with reasons
    verdicts: tuple[str, ...] = ()  # for each head: why it is in use or not, with figures

    def to_dict(self) -> dict[str, Any]:
        """Return the heads, the problems and the verdicts as plain values, without the units behind the figures."""
        return {
            "heads": [head.to_dict() for head in self.heads],
            "problems": list(self.problems),
            "verdicts": list(self.verdicts),
        }


def train_from_labels(
    store: Store,
    source: LabelSource,
    policies: Policies,
    *,
    encoder: Callable[[], Encoder] | None = None,
    settings: TrainSettings | None = None,
    skip_bad_labels: bool = False,
    promote: bool = True,
    force: bool = False,
    media: MediaPolicy | None = None,
    log: AuditLog | None = None,
    wait_s: float = TRAIN_WAIT_S,
    on_progress: Callable[[str], None] = lambda step: None,
) -> TrainReport:
    """Train a head for each policy with labels, store the heads, and put those into use that are not worse.

    The rules are in `firstsight.heads.head_comparison`: a first head is compared with the prompts of its policy, or
    with chance without prompts; a later one with the head in use.

    Args:
        store: the database with the labelled items.
        source: a CSV file or rows; see `firstsight.safety.training.policy_labels`.
        policies: the policies that rows may name.
        encoder: loads the encoder; called only if a policy with labels has prompts. Without it, prompts are not used.
        settings: targets and options; the defaults if None.
        skip_bad_labels: leave out unusable rows, instead of refusing the labels.
        promote: put new heads into use, instead of the earlier ones, if the comparison permits.
        force: put new heads into use whatever the comparison says.
        media: limits for reading pictures again, for `settings.augment`; the defaults if None.
        log: the audit log, which gets one entry for each head; by default that of the database.
        wait_s: maximum wait in seconds for another process that is writing.
        on_progress: called with the name of each step.

    Raises:
        SafetyError: the file cannot be read, some labels cannot be used, or there are none.
        AuditLogError: the log cannot be written, or belongs to another database; the earlier heads stay in use.
        DatabaseBusyError: another process is writing for longer than `wait_s`; the earlier heads stay in use.
        StoreError: the heads cannot be stored; the earlier heads stay in use.
    """
    _require_log(store, log)
    labels = read_labels(source, policies, store)
    if not skip_bad_labels:
        labels.require_clean()
    champions = HeadShelf(store).comparable()
    trained = _train(store, labels, policies, encoder, media, settings, champions, on_progress)
    chosen, verdicts = [], []
    for new in trained:
        permitted, reason = _verdict(new)
        chosen.append(promote and (permitted or force))
        if force and promote and not permitted:
            reason += "; promoted all the same, as requested"
        elif permitted and not promote:
            reason += "; only stored, as requested"
        verdicts.append(reason)
    return _store_heads(store, trained, chosen, labels, settings, log, wait_s, verdicts)


def retrain(
    store: Store,
    log: AuditLog,
    policies: Policies,
    source: LabelSource | None = None,
    *,
    encoder: Callable[[], Encoder] | None = None,
    media: MediaPolicy | None = None,
    settings: TrainSettings | None = None,
    wait_s: float = TRAIN_WAIT_S,
    on_progress: Callable[[str], None] = lambda step: None,
) -> TrainReport:
    """Train challengers from people's decisions and optional other labels, and promote them by a rule.

    The rules are in `firstsight.heads.head_comparison`, as for `train_from_labels`. If another label and a decision are
    of one item, the decision counts. Unusable rows are left out and reported, and so are policies with labels of only
    one class.

    Args:
        store: the database.
        log: the audit log of the database.
        policies: the policies in force.
        source: a CSV file or rows; None to use only people's decisions.
        encoder, media, settings, wait_s, on_progress: as for `train_from_labels`.

    Raises:
        SafetyError: the file cannot be read, or there is nothing to train from.
        AuditLogError, DatabaseBusyError, StoreError: as for `train_from_labels`.
    """
    _require_log(store, log)
    rows, problems = ([], []) if source is None else read_rows(source, policies)
    decided = [
        Label(label.policy, "item", label.item_id, label.label, label.weight, label.annotator)
        for label in review_labels(store, log)
        if label.policy in policies and not policies[label.policy].retired
    ]
    decided_items = {(row.policy_id, row.name) for row in decided}
    others = [row for row in rows if (row.policy_id, row.item_id or "") not in decided_items]
    labels = check_labels([*others, *decided], store, problems)
    if not labels.rows:
        raise SafetyError(
            "there is nothing to train from: a policy needs decisions to block and decisions to allow; "
            "add a label file: firstsight safety retrain LABELS.csv"
        )
    champions = HeadShelf(store).comparable()
    trained = _train(store, labels, policies, encoder, media, settings, champions, on_progress)
    chosen = [_verdict(new)[0] for new in trained]
    verdicts = [_verdict(new)[1] for new in trained]
    return _store_heads(store, trained, chosen, labels, settings, log, wait_s, verdicts)


def _verdict(new: TrainedHead) -> tuple[bool, str]:
    """Whether a head may be put into use, and why."""
    if new.comparison is None:
        return False, "not promoted: there are too few labels to hold any out; label more items of both classes"
    return new.comparison.promote, new.comparison.reason


def _require_log(store: Store, log: AuditLog | None) -> None:
    """Check that the log belongs to the database, before hours of training instead of after them."""
    log = AuditLog.of(store.uri) if log is None else log
    link, _ = read_link(store)
    if link is not None:
        BoundLog(store, log, link).require()


def _train(
    store: Store,
    labels: LabelSet,
    policies: Policies,
    encoder: Callable[[], Encoder] | None,
    media: MediaPolicy | None,
    settings: TrainSettings | None,
    champions: dict[str, Head],
    on_progress: Callable[[str], None],
) -> list[TrainedHead]:
    policy_ids = sorted({row.policy_id for row in labels.rows})
    directions = load_prompt_directions(store, [policies[policy_id] for policy_id in policy_ids], encoder)
    by_id = {policy.id: policy for policy in policies.all}
    copier = None if encoder is None else PictureCopier(encoder, media or MediaPolicy())
    tower = None
    if settings is not None and settings.method == "coop" and encoder is not None:
        tower = load_text_tower(encoder())
    return train(
        store,
        labels,
        by_id,
        directions=directions,
        settings=settings,
        champions=champions,
        copier=copier,
        tower=tower,
        on_progress=on_progress,
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
    """Store the heads, log them, and then put the chosen ones into use, as the log's entries say."""
    reasons = tuple(verdicts)
    chosen = asdict(settings or TrainSettings())
    del chosen["method"]  # the head's own figures name the requested and the chosen method
    with store.writing(wait_s):
        bound = BoundLog.open(store, log)
        bound.prepare()
        shelf = HeadShelf(store)
        heads = shelf.add([new.head for new in trained])
        entries: list[Entry] = []
        for n, (head, new) in enumerate(zip(heads, trained, strict=True)):
            entry = head.to_dict() | {"promoted": promote[n], "labels": head.basis, **chosen}
            if new.comparison is not None:
                entry |= {"champion": {k: v for k, v in new.comparison.to_dict().items() if v == v}}  # JSON has no NaN
            entries.append((TRAIN, head.policy_id, entry | ({"verdict": reasons[n]} if reasons else {})))
        bound.append(entries)
        heads = [shelf.version(head.version) for head in heads]
    return TrainReport(tuple(heads), tuple(trained), labels.problems, reasons)
