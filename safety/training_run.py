"""`firstsight safety train`: from a file of labels to heads in force."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from firstsight.encoders.base import Encoder
from firstsight.indexer.store import Store
from firstsight.safety.heads import Head, HeadShelf
from firstsight.safety.labels import read_labels
from firstsight.safety.policies import Policies
from firstsight.safety.scoring import Entry
from firstsight.safety.training import Trained, TrainSettings, train
from firstsight.safety.zero_shot import prompt_directions

TRAIN_WAIT_S = 60.0
"""For another process that is writing: what was trained should not be lost to it."""


@dataclass(frozen=True)
class TrainReport:
    """What a training made."""

    heads: tuple[Head, ...]  # as they are kept, with their versions
    trained: tuple[Trained, ...]  # with what they were measured on
    problems: tuple[str, ...]  # rows of labels that were left out


def train_from_file(
    store: Store,
    path: str | os.PathLike[str],
    policies: Policies,
    *,
    encoder: Callable[[], Encoder] | None = None,
    settings: TrainSettings | None = None,
    skip_bad_labels: bool = False,
    promote: bool = True,
    record: Callable[[Iterable[Entry]], object] | None = None,
    wait_s: float = TRAIN_WAIT_S,
    on_progress: Callable[[str], None] = lambda step: None,
) -> TrainReport:
    """Train a head for each policy that a file has labels of, keep them, and let them score, all at once.

    Args:
        path: a CSV file; see `firstsight.safety.labels`.
        encoder: called to encode prompts, where a policy that has labels has any; without it they are not used.
        skip_bad_labels: leave out rows that cannot be used, instead of refusing the file.
        promote: let the heads score from now on, in the place of those before.
        record: an audit log's `append_many`: given one entry for each head.

    Raises:
        SafetyError: labels that cannot be used.
        DatabaseBusyError, StoreError: the heads could not be kept; those before are in force.
    """
    labels = read_labels(path, policies, store)
    if not skip_bad_labels:
        labels.require_clean()
    named = {row.policy_id for row in labels.rows}
    directions = {}
    if encoder is not None and any(policies[policy_id].prompts for policy_id in named):
        loaded = encoder()
        store.require(loaded.spec)
        directions = prompt_directions([policies[policy_id] for policy_id in sorted(named)], loaded)
    by_id = {policy.id: policy for policy in policies.all}
    trained = train(store, labels, by_id, directions=directions, settings=settings, on_progress=on_progress)
    with store.writing(wait_s):
        shelf = HeadShelf(store)
        kept = shelf.add([one.head for one in trained])
        if promote:
            shelf.promote([head.version for head in kept])
            kept = [shelf.version(head.version) for head in kept]
    if record is not None:
        chosen = asdict(settings or TrainSettings())
        record([("train", head.policy_id, head.as_dict() | {"labels": head.basis, **chosen}) for head in kept])
    return TrainReport(tuple(kept), tuple(trained), labels.problems)
