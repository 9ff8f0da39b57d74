"""Inputs of the safety report: held-out scores and labels, columns of the catalogue, current scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.groups import duplicate_group_ids as duplicate_groups
from firstsight.encoders.base import Encoder, Vector
from firstsight.encoders.prompting.text_towers import load_text_tower
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.heads.calibrated_fit import TrainSettings
from firstsight.heads.label_noise import find_suspects
from firstsight.heads.labels import Label, LabelSet
from firstsight.heads.methods.text_tower import TextTower
from firstsight.heads.view_sample import matrix
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.safety.report.policy_report import HeldOutPolicy, LabelSuspect
from firstsight.safety.scoring.zero_shot import load_prompt_directions
from firstsight.safety.training.head_training import TrainedHead, train
from firstsight.safety.training.policy_labels import LabelSource, read_labels
from firstsight.storage.item_values import ItemValue, find_item_values, known_values
from firstsight.storage.store import Store

SLICE_COLUMNS = ("language", "category", "kind", "seller")
"""Default slice columns, if the catalogue has them, or a fact or tag of that name."""


def held_out_policies_from_labels(
    store: Store,
    source: LabelSource,
    policies: Policies,
    *,
    encoder: Callable[[], Encoder] | None = None,
    prevalence: float | None = None,
    columns: Sequence[str] | None = None,
    skip_bad_labels: bool = False,
    groups: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> tuple[list[HeldOutPolicy], tuple[str, ...]]:
    """Run `held_out_policies` on a label file or on rows.

    Args:
        store, policies, columns, groups, on_progress: as for `held_out_policies`.
        source: a CSV file or rows; see `firstsight.safety.training.policy_labels`.
        encoder: loads the encoder; called only if a policy with labels has prompts. Without it, prompts are not used.
        prevalence: share of positives in the catalogue, 0 to 1; None if the labels have the same share.
        skip_bad_labels: leave out unusable rows, instead of refusing the labels.

    Returns:
        The policies, and messages for the rows that were left out.

    Raises:
        SafetyError: the file cannot be read, some labels cannot be used, or as for `held_out_policies`.
    """
    labels = read_labels(source, policies, store)
    if not skip_bad_labels:
        labels.require_clean()
    names = sorted({row.policy_id for row in labels.rows})
    directions = load_prompt_directions(store, [policies[name] for name in names], encoder)
    used = {name: head for name, head in HeadShelf(store).comparable().items() if name in directions}
    methods = {name: str(head.figures.get("requested_method", "auto")) for name, head in used.items()}
    tower = load_text_tower(encoder()) if encoder is not None and "coop" in methods.values() else None
    held_out = held_out_policies(
        store,
        labels,
        policies,
        directions=directions,
        settings=TrainSettings(prevalence=prevalence),
        columns=columns,
        groups=groups,
        tower=tower,
        methods=methods,
        on_progress=on_progress,
    )
    return held_out, labels.problems


def held_out_policies(
    store: Store,
    labels: LabelSet,
    policies: Policies,
    *,
    directions: Mapping[str, Vector] | None = None,
    settings: TrainSettings | None = None,
    columns: Sequence[str] | None = None,
    groups: Mapping[str, str] | None = None,
    tower: TextTower | None = None,
    methods: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> list[HeldOutPolicy]:
    """Train a head for each policy with labels, and score the labels that it did not see; nothing is written.

    Training is deterministic, so these are the figures of the head that `safety train` makes from the same labels. If
    the head in use comes from other labels, a note says so. Of near-duplicates, one is measured.

    Args:
        store: the database with the labelled items.
        labels: from `read_labels`.
        policies: the policies of the labels.
        directions: (dim,) prompt directions by policy, from `prompt_directions`, as for the training.
        settings: targets and options of the training; the defaults if None.
        columns: columns, facts or tags to slice by, such as `colour`; by default language, category, kind and seller,
            if they exist.
        groups: item id -> near-duplicate group id, of items with near-duplicates; computed by default.
        tower: the encoder's text tower, for heads of the method coop.
        methods: method by policy, as for `train`; by default that of the settings.
        on_progress: called with the name of each step.

    Raises:
        SafetyError: there are no labels, every policy has too few labels to hold any out, or a column does not exist.
    """
    settings = settings or TrainSettings()
    sliced = _slice_values(store, columns)
    if groups is None:
        on_progress("searching for near-duplicates, to measure one of each group")
        groups = duplicate_groups(store)
    by_id = {policy.id: policy for policy in policies.all}
    heads = train(
        store,
        labels,
        by_id,
        directions=directions,
        settings=settings,
        groups=groups,
        tower=tower,
        methods=methods,
        on_progress=on_progress,
    )
    names = [trained.head.policy_id for trained in heads]
    today = _current_scores(store, names)
    held_out = []
    for name, trained in zip(names, heads, strict=True):
        if trained.held_out is None:
            on_progress(f"{name}: too few labels to hold any out, so there is nothing to report")
            continue
        on_progress(f"measuring {name}")
        held_out.append(_policy(store, trained, labels.of(name), policies, settings, sliced, groups, today.get(name)))
    if not held_out:
        raise SafetyError(f"none of {', '.join(names)} has enough labels to hold any out; add labels")
    return held_out


def _slice_values(store: Store, columns: Sequence[str] | None) -> list[ItemValue]:
    """Columns, facts and tags to slice by; by default those of `SLICE_COLUMNS` that exist."""
    known = sorted(store.filter_kinds())
    if columns is None:
        return find_item_values(store, SLICE_COLUMNS, known, None)

    def missing(name: str) -> SafetyError:
        return SafetyError(f"there is no column {name!r} in {store.uri}; its columns: {known_values(store, known)}")

    return find_item_values(store, columns, known, missing)


def _policy(
    store: Store,
    trained: TrainedHead,
    rows: Sequence[Label],
    policies: Policies,
    settings: TrainSettings,
    slices: Sequence[ItemValue],
    groups: Mapping[str, str],
    today: Floats | None,
) -> HeldOutPolicy:
    held_out, policy = trained.held_out, policies[trained.head.policy_id]
    assert held_out is not None
    first_of_group = np.sort(np.unique(held_out.groups.astype(str), return_index=True)[1])
    owners = [_item_of(held_out.unit_ids[place]) for place in first_of_group]
    items = store.item_rows(sorted({owner for owner in owners if owner is not None}))
    promoted = HeadShelf(store).promoted().get(policy.id)
    head = trained.head if promoted is None else promoted
    review, block = head.cuts(policy)
    notes = [
        f"Held out: {trained.head.figures['held_out']}, {len(first_of_group)} rows, one of each near-duplicate group."
    ]
    if promoted is None:
        notes.append("No head of this policy is in use: the cuts come from these labels.")
    elif promoted.basis != trained.head.basis:
        notes.append(
            f"Head {promoted.version}, which is in use, was trained from other labels: the cuts are its own, and the "
            "scores come from a head trained from these labels."
        )
    if settings.prevalence is None:
        notes.append("The prevalence is that of the labels; if the catalogue has another, give it with --prevalence.")
    return HeldOutPolicy(
        policy_id=policy.id,
        name=policy.name,
        scores=held_out.scores[first_of_group],
        labels=held_out.labels[first_of_group],
        prevalence=settings.prevalence,
        review=review,
        block=block,
        columns={
            value.name: [None if owner not in items else value.of_row(items[owner]) for owner in owners]
            for value in slices
        },
        suspects=_suspects(store, rows, groups),
        today=today,
        notes=notes,
    )


def _suspects(store: Store, rows: Sequence[Label], groups: Mapping[str, str]) -> list[LabelSuspect]:
    """Find labels of items and views that the other labels contradict; an item counts with its fused vector."""
    of_items = [row for row in rows if row.item_id is not None]
    vectors = _vectors_of(store, of_items)
    known = [row for row in of_items if row.name in vectors]
    by_group = np.array([groups.get(row.item_id or "", row.item_id) for row in known], dtype=object).astype(str)
    y = np.array([row.label for row in known], np.int8)
    if min((len(set(by_group[y == label])) for label in (0, 1)), default=0) < 2:
        return []
    weights = np.array([row.weight for row in known])
    suspects = find_suspects(np.stack([vectors[row.name] for row in known]), y, groups=by_group, weights=weights)
    return [
        LabelSuspect(known[place].name, known[place].label, float(chance))
        for place, chance in zip(suspects.rows, suspects.chance, strict=True)
    ]


def _vectors_of(store: Store, rows: Sequence[Label]) -> dict[str, NDArray[np.float32]]:
    items = store.item_rows(sorted({row.name for row in rows if row.unit_kind == "item"}))
    vectors = {name: np.asarray(row["vector"], np.float32) for name, row in items.items()}
    items_of_views = {row.item_id or "" for row in rows if row.unit_kind == "view"}
    if items_of_views:
        views = store.view_rows(sorted(items_of_views)).select(["view_id", "vector"])
        of_view = zip(views["view_id"].to_pylist(), matrix(views["vector"], store.spec.dim), strict=True)
        vectors |= {str(name): vector for name, vector in of_view}
    return vectors


def _current_scores(store: Store, policy_ids: Sequence[str]) -> dict[str, Floats]:
    """Return policy id -> current scores of all items, for policies with scores."""
    parts: dict[str, list[Floats]] = {}
    for _, scores in ScoreTable(store).scores():
        for name in policy_ids:
            if name in scores:
                column = np.asarray(scores[name], np.float64)
                parts.setdefault(name, []).append(column[np.isfinite(column)])
    joined = {name: np.concatenate(columns) for name, columns in parts.items()}
    return {name: scores for name, scores in joined.items() if len(scores)}


def _item_of(unit_id: str) -> str | None:
    """Return the item of a unit; None for a file, which several items may share."""
    kind, _, name = unit_id.partition(":")
    if kind == "path":
        return None
    return name if kind == "item" else name.rpartition("#")[0]
