"""What a safety report is made from: held-out scores of labels, columns of the catalogue, scores of today."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.item_pairs import duplicate_group_ids as duplicate_groups
from firstsight.encoders.base import Encoder, Vector
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.heads.label_noise import find_suspects
from firstsight.heads.labels import Label, LabelSet
from firstsight.heads.view_sample import matrix
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.safety.report.policy_report import HeldOutPolicy, Suspect
from firstsight.safety.scoring.zero_shot import load_prompt_directions
from firstsight.safety.training.head_training import TrainedHead, train
from firstsight.safety.training.policy_labels import read_labels
from firstsight.storage.store import Store

SLICE_COLUMNS = ("language", "kind", "seller")
"""Looked at where the catalogue has them and no column is named."""


def held_out_policies_from_file(
    store: Store,
    path: str | os.PathLike[str],
    policies: Policies,
    *,
    encoder: Callable[[], Encoder] | None = None,
    prevalence: float | None = None,
    columns: Sequence[str] | None = None,
    skip_bad_labels: bool = False,
    groups: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> tuple[list[HeldOutPolicy], tuple[str, ...]]:
    """`held_out_policies` of a file of labels, and the rows of it that were left out.

    Args:
        encoder: called to encode prompts, where a policy that has labels has any; without it they are not used.

    Raises:
        SafetyError: labels that cannot be used, and what `held_out_policies` raises.
    """
    labels = read_labels(path, policies, store)
    if not skip_bad_labels:
        labels.require_clean()
    named = sorted({row.policy_id for row in labels.rows})
    directions = load_prompt_directions(store, [policies[name] for name in named], encoder)
    found = held_out_policies(
        store,
        labels,
        policies,
        directions=directions,
        settings=TrainSettings(prevalence=prevalence),
        columns=columns,
        groups=groups,
        on_progress=on_progress,
    )
    return found, labels.problems


def held_out_policies(
    store: Store,
    labels: LabelSet,
    policies: Policies,
    *,
    directions: Mapping[str, Vector] | None = None,
    settings: TrainSettings | None = None,
    columns: Sequence[str] | None = None,
    groups: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> list[HeldOutPolicy]:
    """What the heads of these labels say of labels they did not see; nothing is written.

    Training repeats itself exactly, so that these are the figures of the head that `safety train` made from the same
    labels; where the head in force was made from others, a note says so. Of near-duplicates one is measured.

    Args:
        labels: from `read_labels`.
        directions: from `prompt_directions`, as for the training.
        columns: of `items`, to slice by; language, kind and seller by default, where they are there.
        groups: group ids of items that have near-duplicates; computed by default.

    Raises:
        SafetyError: no labels, too few of every policy to hold any out, or a column that is not there.
    """
    settings = settings or TrainSettings()
    there = set(store.items.schema.names) - {"vector"}
    for name in columns or ():
        if name not in there:
            raise SafetyError(f"there is no column {name!r} in {store.uri}; its columns: {', '.join(sorted(there))}")
    sliced = [name for name in SLICE_COLUMNS if name in there] if columns is None else list(columns)
    if groups is None:
        on_progress("looking for near-duplicates, of which one is measured")
        groups = duplicate_groups(store)
    by_id = {policy.id: policy for policy in policies.all}
    made = train(store, labels, by_id, directions=directions, settings=settings, groups=groups, on_progress=on_progress)
    today = _today(store, [one.head.policy_id for one in made])
    found = []
    for one in made:
        name = one.head.policy_id
        if one.held_out is None:
            on_progress(f"{name}: too few labels to hold any out, so that there is nothing to report")
            continue
        on_progress(f"measuring {name}")
        found.append(_policy(store, one, labels.of(name), policies, settings, sliced, groups, today.get(name)))
    if not found:
        raise SafetyError(
            f"none of {', '.join(one.head.policy_id for one in made)} has enough labels to hold any out; add labels"
        )
    return found


def _policy(
    store: Store,
    one: TrainedHead,
    rows: Sequence[Label],
    policies: Policies,
    settings: TrainSettings,
    columns: Sequence[str],
    groups: Mapping[str, str],
    today: Floats | None,
) -> HeldOutPolicy:
    held_out, policy = one.held_out, policies[one.head.policy_id]
    assert held_out is not None
    alone = np.sort(np.unique(held_out.groups.astype(str), return_index=True)[1])
    owners = [_item_of(held_out.unit_ids[place]) for place in alone]
    items = store.item_rows(sorted({owner for owner in owners if owner is not None}))
    promoted = HeadShelf(store).promoted().get(policy.id)
    head = one.head if promoted is None else promoted
    review, block = head.cuts(policy)
    notes = [f"Held out: {one.head.figures['held_out']}, {len(alone)} rows without near-duplicates of each other."]
    if promoted is None:
        notes.append("No head of this policy is in force: the cuts are those that these labels give.")
    elif promoted.basis != one.head.basis:
        notes.append(
            f"Head {promoted.version}, which is in force, was trained from other labels: its cuts are drawn, and the "
            "scores are those of a head from these labels."
        )
    if settings.prevalence is None:
        notes.append("The prevalence is that of the labels; where the catalogue has another, name it.")
    return HeldOutPolicy(
        policy_id=policy.id,
        name=policy.name,
        scores=held_out.scores[alone],
        labels=held_out.labels[alone],
        prevalence=settings.prevalence,
        review=review,
        block=block,
        columns={
            column: [None if owner not in items else items[owner].get(column) for owner in owners] for column in columns
        },
        suspects=_suspects(store, rows, groups),
        today=today,
        notes=notes,
    )


def _suspects(store: Store, rows: Sequence[Label], groups: Mapping[str, str]) -> list[Suspect]:
    """Labels of items and views that the others speak against; an item by its fused vector."""
    named = [row for row in rows if row.item_id is not None]
    of_name = _vectors_of(store, named)
    known = [row for row in named if row.name in of_name]
    by = np.array([groups.get(row.item_id or "", row.item_id) for row in known], dtype=object).astype(str)
    y = np.array([row.label for row in known], np.int8)
    if min((len(set(by[y == label])) for label in (0, 1)), default=0) < 2:
        return []
    weights = np.array([row.weight for row in known])
    found = find_suspects(np.stack([of_name[row.name] for row in known]), y, groups=by, weights=weights)
    return [
        Suspect(known[place].name, known[place].label, float(chance))
        for place, chance in zip(found.rows, found.chance, strict=True)
    ]


def _vectors_of(store: Store, rows: Sequence[Label]) -> dict[str, NDArray[np.float32]]:
    items = store.item_rows(sorted({row.name for row in rows if row.unit_kind == "item"}))
    vectors = {name: np.asarray(row["vector"], np.float32) for name, row in items.items()}
    wanted = {row.name: row.item_id or "" for row in rows if row.unit_kind == "view"}
    if wanted:
        views = store.view_rows(sorted(set(wanted.values()))).select(["view_id", "vector"])
        of_view = zip(views["view_id"].to_pylist(), matrix(views["vector"], store.spec.dim), strict=True)
        vectors |= {str(name): vector for name, vector in of_view}
    return vectors


def _today(store: Store, policy_ids: Sequence[str]) -> dict[str, Floats]:
    """Scores of all items, of policies that they were scored for."""
    parts: dict[str, list[Floats]] = {}
    for _, scores in ScoreTable(store).scores():
        for name in policy_ids:
            if name in scores:
                column = np.asarray(scores[name], np.float64)
                parts.setdefault(name, []).append(column[np.isfinite(column)])
    joined = {name: np.concatenate(some) for name, some in parts.items()}
    return {name: scores for name, scores in joined.items() if len(scores)}


def _item_of(unit_id: str) -> str | None:
    """The item of a unit; None for a file, which several items may share."""
    named, _, name = unit_id.partition(":")
    if named == "path":
        return None
    return name if named == "item" else name.rpartition("#")[0]
