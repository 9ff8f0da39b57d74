"""Heads trained from labels on stored vectors.

    labels -> units with their views -> split by item and near-duplicate group
           -> logistic regression, C and the prompts chosen by cross-validation over groups
           -> calibration and cuts on units the head did not see

With 40 positives or more, two fifths of the groups are held out and the head is trained on the rest, so that its cuts
hold for just this head. With fewer, every unit is scored by a head trained without its group, and the head is then
trained on all: nothing is wasted, and the cuts hold for heads of that kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.duplicates.groups import duplicate_group_ids as duplicate_groups
from firstsight.encoders.base import Vector
from firstsight.errors import SafetyError
from firstsight.heads.calibration import Floats, HeadCalibration, Labels, calibrate
from firstsight.heads.thresholds import Threshold, choose_threshold
from firstsight.safety.policy.policies import DEFAULT_CUTS, PARTS, Policy
from firstsight.safety.policy.policy_heads import Head
from firstsight.safety.policy.view_sample import ViewSample, budget_cut, matrix, texts
from firstsight.safety.training.champion import HeadComparison, compare_heads
from firstsight.safety.training.fitting import (
    Fit,
    TrainingSet,
    choose_held_out,
    cross_validated_logits,
    fit_best,
    make_folds,
)
from firstsight.safety.training.labels import SHOWN_PROBLEMS, Label, LabelSet
from firstsight.storage.store import Store

HELD_OUT_POSITIVES = 40
"""Groups with a positive, from which two fifths of the groups are held out."""


@dataclass(frozen=True)
class TrainSettings:
    """Targets and choices.

    Raises:
        SafetyError: a value out of range.
    """

    precision: float | None = 0.95  # of what is blocked; None for the policy's own cut
    recall: float | None = 0.9  # of what is reviewed or blocked; None for the policy's own cut
    confidence: float = 0.95  # share of the times that a target holds
    prevalence: float | None = None  # share of positives in the catalogue, where the labels have another
    review_budget: float | None = None  # most that goes to review, as a share of the items; None for no limit

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < 1:
                raise SafetyError(f"{name} must be between 0 and 1, not {value:g}")


@dataclass(frozen=True)
class HeldOutUnits:
    """Units the head did not see: what its figures, its cuts and its reports are made from."""

    unit_ids: tuple[str, ...]
    scores: Floats  # (n,) calibrated
    labels: Labels  # (n,)
    weights: Floats  # (n,)
    groups: NDArray[np.object_]  # (n,)
    zero_shot: Floats | None = None  # (n,) cosines to the prompts' direction, where there are prompts


@dataclass(frozen=True)
class TrainedHead:
    """A head, and what it was measured on."""

    head: Head
    held_out: HeldOutUnits | None  # None where there are too few labels to hold any out
    units: tuple[str, ...] = ()  # all that it was made from
    comparison: HeadComparison | None = None  # with the champion, where there is one


def train(
    store: Store,
    labels: LabelSet,
    policies: Mapping[str, Policy],
    *,
    directions: Mapping[str, Vector] | None = None,
    settings: TrainSettings | None = None,
    champions: Mapping[str, Head] | None = None,
    groups: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> list[TrainedHead]:
    """Train a head for each policy that has labels; nothing is written.

    Args:
        labels: from `read_labels`; both classes of each policy.
        policies: by id.
        directions: from `zero_shot.prompt_directions`; policies with one may use it as a feature.
        champions: heads in use, by policy, with which the new ones are compared.
        groups: group ids of items that have near-duplicates; computed by default.
        on_progress: told each step.

    Raises:
        SafetyError: a file that no view was made from, or an item without views of its policy's parts; or nothing to
            train from.
    """
    settings = settings or TrainSettings()
    names = sorted({row.policy_id for row in labels.rows})
    if not names:
        raise SafetyError("there are no labels to train from; give rows of both classes, label 0 and label 1")
    on_progress("reading the labelled views")
    views = _read_labelled_views(store, labels.rows)
    background = ViewSample.sample(store)
    if groups is None:
        on_progress("looking for near-duplicates, which must not stand on both sides of a split")
        groups = duplicate_groups(store)
    made = []
    for name in names:
        on_progress(f"training {name}")
        data = _training_set(labels.of(name), policies[name], views, groups)
        direction = (directions or {}).get(name)
        champion = (champions or {}).get(name)
        spec = store.spec.fingerprint
        made.append(train_head(policies[name], data, background, spec, direction, settings, champion))
    return made


def train_head(
    policy: Policy,
    data: TrainingSet,
    background: ViewSample,
    fingerprint: str,
    direction: Vector | None = None,
    settings: TrainSettings | None = None,
    champion: Head | None = None,
) -> TrainedHead:
    """Train and measure one head; see `train`."""
    settings = settings or TrainSettings()
    means = {part: background.mean(part) for part in PARTS}
    folds = make_folds(data)
    if not folds:
        fit = fit_best(data, means, direction, folds=[])
        head = _head(policy, fit, fingerprint, data, HeadCalibration(), {}, {"held_out": "none"})
        return TrainedHead(replace(head, seen=data.unit_ids), None, data.unit_ids)
    positives = len(set(data.groups[data.labels == 1]))
    negatives = len(set(data.groups[data.labels == 0]))
    if min(positives, negatives) >= HELD_OUT_POSITIVES:
        out = choose_held_out(data)
        kept = data.select_units(np.setdiff1d(np.arange(len(data.labels)), out))
        fit = fit_best(kept, means, direction, folds=make_folds(kept))
        seen = kept.unit_ids
        logits = fit.unit_logits(data.select_units(out))
        how = "two fifths of the groups"
    else:
        out = np.arange(len(data.labels))
        fit = fit_best(data, means, direction, folds=folds)
        logits = cross_validated_logits(data, means, direction if fit.uses_prompts else None, fit.c, folds)
        seen = data.unit_ids
        how = "cross-fitted"
    labels = data.labels[out]
    calibration = calibrate(logits, labels, prevalence=settings.prevalence)
    held_out = HeldOutUnits(
        tuple(data.unit_ids[n] for n in out),
        calibration(logits),
        labels,
        data.weights[out],
        data.groups[out],
        None if direction is None else data.select_units(out).highest(data.select_units(out).vectors @ direction),
    )
    thresholds = _thresholds(held_out, settings)
    head = _head(policy, fit, fingerprint, data, calibration, thresholds, _figures(held_out, logits, how))
    head = replace(_raise_review_cut(head, policy, background, settings), seen=seen)
    comparison = None if champion is None else compare_heads(champion, data, out, held_out.scores)
    return TrainedHead(head, held_out, data.unit_ids, comparison)


# ---- what was labelled, with its views


def _read_labelled_views(store: Store, rows: Sequence[Label]) -> pa.Table:
    """The views of everything labelled, with a column `path` where files were named."""
    items = {row.item_id for row in rows if row.item_id is not None}
    paths = {row.name for row in rows if row.unit_kind == "path"}
    owners: dict[str, str] = _find_items_of_files(store, paths) if paths else {}
    views = store.view_rows(sorted(items | set(owners.values()) - {None}))
    return views.select(["view_id", "item_id", "part", "uri", "vector"])


def _find_items_of_files(store: Store, paths: Iterable[str]) -> dict[str, str]:
    """The items with a view made from one of these files, by view id."""
    folders: dict[str, str] = {}
    for batch in store.items.search().select(["item_id", "catalog_dir"]).limit(None).to_batches(10_000):
        folders.update(zip(texts(batch["item_id"]), texts(batch["catalog_dir"]), strict=True))
    wanted = set(paths)
    found = {}
    columns = ["view_id", "item_id", "uri"]
    for batch in store.views.search().where("uri IS NOT NULL").select(columns).limit(None).to_batches(10_000):
        for view in batch.to_pylist():
            if wanted & _file_names(view["uri"], folders.get(view["item_id"], "")):
                found[view["view_id"]] = view["item_id"]
    return found


def _file_names(uri: str, folder: str) -> set[str]:
    """What a file may be called in a label: as the catalogue has it, or with the catalogue's folder before it."""
    return {uri, f"{folder.rstrip('/')}/{uri}"}


def _training_set(rows: Sequence[Label], policy: Policy, views: pa.Table, groups: Mapping[str, str]) -> TrainingSet:
    parts, items = texts(views["part"]), texts(views["item_id"])
    uris, view_ids = views["uri"].to_pylist(), texts(views["view_id"])
    of_item: dict[str, list[int]] = {}
    of_view: dict[str, int] = {}
    of_uri: dict[str, list[int]] = {}
    for n, (view_id, item_id, part, uri) in enumerate(zip(view_ids, items, parts, uris, strict=True)):
        of_view[view_id] = n
        if part in policy.parts:
            of_item.setdefault(item_id, []).append(n)
            if uri is not None:
                of_uri.setdefault(uri, []).append(n)
    places: list[int] = []
    units: list[int] = []
    blind: list[str] = []
    for unit, row in enumerate(rows):
        if row.unit_kind == "item":
            mine = of_item.get(row.name, [])
        elif row.unit_kind == "view":
            mine = [of_view[row.name]]
        else:
            mine = [
                n for uri, several in of_uri.items() if row.name == uri or row.name.endswith(f"/{uri}") for n in several
            ]
        if not mine:
            blind.append(f"row {row.row}: {row.unit_kind} {row.name!r}")
        places += mine
        units += [unit] * len(mine)
    if blind:
        listed = ", ".join(blind[:SHOWN_PROBLEMS]) + (
            f" and {len(blind) - SHOWN_PROBLEMS} more" if len(blind) > SHOWN_PROBLEMS else ""
        )
        parts_seen = ", ".join(sorted(policy.parts))
        raise SafetyError(
            f"no view of {parts_seen}, which policy {policy.id} looks at, has {listed}; leave these rows out"
        )
    vectors = matrix(views["vector"], views.schema.field("vector").type.list_size)
    first = {unit: items[place] for place, unit in zip(reversed(places), reversed(units), strict=True)}
    owners = np.array([groups.get(first[unit], first[unit]) for unit in range(len(rows))], dtype=object)
    return TrainingSet(
        vectors=vectors[places],
        parts=np.array([PARTS.index(parts[place]) for place in places], dtype=np.int8),
        units=np.array(units, dtype=np.int64),
        unit_ids=tuple(f"{row.unit_kind}:{row.name}" for row in rows),
        labels=np.array([row.label for row in rows], dtype=np.int8),
        weights=np.array([row.weight for row in rows], dtype=np.float64),
        groups=owners,
    )


# ---- cuts and figures


def _thresholds(held_out: HeldOutUnits, settings: TrainSettings) -> dict[str, Threshold]:
    """Cuts by what they are for, from one unit of each group: copies of one picture are one observation."""
    _, alone = np.unique(held_out.groups.astype(str), return_index=True)
    scores, labels = held_out.scores[alone], held_out.labels[alone]
    weights = np.ones(len(labels))
    if settings.prevalence is not None:  # what each negative stands for, beside a positive
        share = labels.mean()
        weights[labels == 0] = (1 - settings.prevalence) / settings.prevalence * share / (1 - share)
    how: dict[str, Any] = {"confidence": settings.confidence, "weights": weights}
    found = {}
    if settings.recall is not None:
        found["review"] = choose_threshold(scores, labels, recall=settings.recall, **how)
    if settings.precision is not None:
        found["block"] = choose_threshold(scores, labels, precision=settings.precision, **how)
    return found


def _figures(held_out: HeldOutUnits, logits: Floats, how: str) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score

    labels = held_out.labels
    plain = HeadCalibration()(logits)
    figures = {
        "held_out": how,
        "held_out_positives": int(labels.sum()),
        "held_out_negatives": int(len(labels) - labels.sum()),
        "average_precision": float(average_precision_score(labels, held_out.scores)),
        "brier": float(np.mean((held_out.scores - labels) ** 2)),
        "brier_uncalibrated": float(np.mean((plain - labels) ** 2)),
    }
    if held_out.zero_shot is not None:
        figures["average_precision_zero_shot"] = float(average_precision_score(labels, held_out.zero_shot))
    return figures


def _head(
    policy: Policy,
    fit: Fit,
    fingerprint: str,
    data: TrainingSet,
    calibration: HeadCalibration,
    thresholds: Mapping[str, Threshold],
    figures: Mapping[str, Any],
) -> Head:
    review, block = (
        thresholds[name].cut if name in thresholds and thresholds[name].attainable else None
        for name in ("review", "block")
    )
    if block is None and "block" not in thresholds:
        block = policy.cuts.get("default", DEFAULT_CUTS)[1]
    if review is not None and block is not None:
        review = min(review, block)
    labelled = {"positives": int(data.labels.sum()), "negatives": int(len(data.labels) - data.labels.sum())}
    chosen = {"c": fit.c, "prompts": fit.uses_prompts}
    targets = {f"{name}_target": _threshold_figures(threshold) for name, threshold in thresholds.items()}
    return Head(
        policy_id=policy.id,
        kind="head",
        fingerprint=fingerprint,
        coef=fit.coef,
        scales=dict.fromkeys(PARTS, 1.0),
        intercepts=fit.intercepts,
        trained_at=datetime.now(UTC),
        calibration=calibration,
        review=review,
        block=block,
        basis=_digest(data),
        figures={**labelled, **chosen, **figures, **targets},
    )


def _threshold_figures(threshold: Threshold) -> dict[str, Any]:
    """A threshold as plain values; JSON has no infinite cut."""
    return {name: None if value == np.inf else value for name, value in asdict(threshold).items()}


def _raise_review_cut(head: Head, policy: Policy, background: ViewSample, settings: TrainSettings) -> Head:
    """The head with its review cut raised until no more of the catalogue goes to review than reviewers can take."""
    if settings.review_budget is None:
        return head
    parts = [PARTS[place] for place in background.parts]
    logits = head.logits(background.vectors, parts)
    logits[[part not in policy.parts for part in parts]] = np.nan
    scores = head.calibration(background.item_maxima(logits))
    block = np.inf if head.block is None else head.block
    review = max(head.cuts(policy)[0], budget_cut(scores[scores < block], settings.review_budget))
    return Head(**(vars(head) | {"review": min(review, block) if head.block is not None else review}))


def _digest(data: TrainingSet) -> str:
    plain = sorted(zip(data.unit_ids, data.labels.tolist(), data.weights.tolist(), strict=True))
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()
