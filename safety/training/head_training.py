"""Heads of policies, trained from labels on stored vectors.

labels -> units with their views -> split by item and near-duplicate group
       -> a method; cross-validation over groups chooses its settings and whether to use prompts
       -> calibration and cuts on units that the head did not see
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from firstsight.duplicates.groups import duplicate_group_ids as duplicate_groups
from firstsight.encoders.base import Vector
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.heads.augmented_fit import Augmentation, Copies, fit_with_copies
from firstsight.heads.calibrated_fit import (
    CalibratedFit,
    HeldOutUnits,
    TrainSettings,
    fit_and_calibrate,
    threshold_figures,
)
from firstsight.heads.fitting import TrainingSet
from firstsight.heads.head_comparison import HeadComparison, compare, compare_first
from firstsight.heads.labelled_views import make_training_set, read_labelled_views
from firstsight.heads.labels import LabelSet
from firstsight.heads.methods.text_tower import TextTower
from firstsight.heads.methods.view_methods import PolicyPrompts
from firstsight.heads.view_sample import ViewSample, budget_cut
from firstsight.records import Record
from firstsight.safety.policy.policies import DEFAULT_CUTS, Policy
from firstsight.safety.policy.policy_heads import Head, HeadStack
from firstsight.safety.scoring.zero_shot import zero_shot_head
from firstsight.safety.training.picture_copies import PictureCopier, make_copies
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS

NEED_PROMPTS: Final = ("prompt-offset", "tip-adapter", "coop")
"""Methods that start from a policy's prompts."""


@dataclass(frozen=True)
class TrainedHead(Record):
    """A new head, and the units behind its figures."""

    head: Head
    held_out: HeldOutUnits | None  # None if there are too few labels to hold any out
    units: tuple[str, ...] = ()  # ids of all labelled units
    comparison: HeadComparison | None = None  # with what is in use; None if there are too few labels
    augmentation: Augmentation | None = None  # with and without changed copies; None if there are no copies


def train(
    store: Store,
    labels: LabelSet,
    policies: Mapping[str, Policy],
    *,
    directions: Mapping[str, Vector] | None = None,
    settings: TrainSettings | None = None,
    champions: Mapping[str, Head] | None = None,
    groups: Mapping[str, str] | None = None,
    copier: PictureCopier | None = None,
    tower: TextTower | None = None,
    methods: Mapping[str, str] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> list[TrainedHead]:
    """Train a head for each policy with labels; nothing is written.

    Args:
        store: the database with the labelled items.
        labels: from `read_labels`; both classes of each policy.
        policies: policies by id.
        directions: (dim,) prompt directions by policy, from `zero_shot.prompt_directions`, as possible features.
        settings: targets and options; the defaults if None.
        champions: heads in use by policy, to compare the new heads with.
        groups: item id -> near-duplicate group id, of items with near-duplicates; computed by default.
        copier: makes changed copies of the labelled pictures, for `settings.augment`.
        tower: the encoder's text tower, for the method coop.
        methods: method by policy, instead of that of the settings.
        on_progress: called with the name of each step.

    Raises:
        SafetyError: `settings.augment` is set without a copier, there are no labels, a labelled item or file has no
            view of its policy's parts, the method needs prompts that a policy lacks, or `settings.confidence` is not
            above 0.5.
        EncoderError: the method coop does not converge.
    """
    settings = settings or TrainSettings()
    names = sorted({row.policy_id for row in labels.rows})
    if not names:
        raise SafetyError("there are no labels to train from; give rows of both classes, label 0 and label 1")
    on_progress("reading the labelled views")
    views = read_labelled_views(store, labels.rows)
    sample = ViewSample.sample(store)
    if groups is None:
        on_progress("searching for near-duplicates, to keep them on one side of each split")
        groups = duplicate_groups(store)
    changed = None
    if settings.augment:
        if copier is None:
            raise SafetyError("copies of pictures need the encoder; train with one, or without --augment")
        changed = copier.change(store, views, on_progress)
    trained = []
    for name in names:
        on_progress(f"training {name}")
        policy = policies[name]
        data = make_training_set(labels.of(name), views, groups, parts=policy.parts, policy_id=name)
        direction = (directions or {}).get(name)
        champion = (champions or {}).get(name)
        copies = None
        if changed is not None:
            copies = make_copies(labels.of(name), views, changed, data, name, policy.parts)
        fingerprint = store.spec.fingerprint
        chosen = replace(settings, method=(methods or {}).get(name, settings.method))
        if direction is None and chosen.method in NEED_PROMPTS:
            raise SafetyError(
                f"the method {chosen.method} needs prompts, and policy {name} has none; add prompts to the policy, or "
                "use linear"
            )
        head = train_head(policy, data, sample, fingerprint, direction, chosen, champion, copies, tower)
        if head.augmentation is not None:
            on_progress(f"{name}, changed copies: {head.augmentation.reason}")
        trained.append(head)
    return trained


def train_head(
    policy: Policy,
    data: TrainingSet,
    sample: ViewSample,
    fingerprint: str,
    direction: Vector | None = None,
    settings: TrainSettings | None = None,
    champion: Head | None = None,
    copies: Copies | None = None,
    tower: TextTower | None = None,
) -> TrainedHead:
    """Train and measure one head.

    Args:
        policy: the policy of the labels.
        data: labelled units of both classes.
        sample: views of the catalogue.
        fingerprint: fingerprint of the encoder that made the vectors.
        direction: (dim,) prompt direction; None without prompts.
        settings: targets and options; the defaults if None.
        champion: head in use, to compare the new head with; None or a zero-shot head for a first head.
        copies: changed copies of the units; None to train without copies.
        tower: the encoder's text tower, for the method coop.

    Raises:
        SafetyError: `settings.confidence` is not above 0.5, or the method needs prompts or a text tower.
        EncoderError: the method coop does not converge.
    """
    settings = settings or TrainSettings()
    texts = (tuple(policy.neutral_prompts), tuple(policy.prompts))
    prompts = None if direction is None else PolicyPrompts(direction, texts, tower)
    means = {part: sample.mean(part) for part in HEAD_PARTS}
    augmentation = None
    if copies is None:
        fitted = fit_and_calibrate(data, means, prompts, settings)
    else:
        fitted, augmentation = fit_with_copies(data, copies, means, prompts, settings)
    head = _head(policy, fitted, fingerprint, data, augmentation, settings.method)
    if fitted.held_out is None:
        return TrainedHead(head, None, data.unit_ids, augmentation=augmentation)
    head = _raise_review_cut(head, policy, sample, settings)
    if champion is not None and champion.kind == "head":
        comparison = compare_heads(policy, champion, data, fitted.held_out)
    else:
        zero_shot = champion
        if direction is not None:  # the prompts in force; those of a stored head may be older
            zero_shot = zero_shot_head(policy, direction, sample, fingerprint)
        comparison = compare_first_head(policy, zero_shot, data, fitted.held_out)
    return TrainedHead(head, fitted.held_out, data.unit_ids, comparison, augmentation)


def compare_heads(policy: Policy, champion: Head, data: TrainingSet, held_out: HeldOutUnits) -> HeadComparison:
    """Compare a new head with the head in use, on units that neither has seen.

    A unit without any part that the champion scores, such as a title for a zero-shot head, gets the lowest score.

    Args:
        policy: the policy of both heads.
        champion: the head in use.
        data: all labelled units of the policy.
        held_out: units that the new head has not seen, with its scores.
    """
    seen = set(champion.seen)
    groups = {group for group, unit in zip(data.groups, data.unit_ids, strict=True) if unit in seen}
    fresh = np.flatnonzero([group not in groups for group in data.groups[held_out.places]])
    if not len(fresh):
        reason = "kept: the champion has seen every label of the held-out units; label other units"
        return HeadComparison(np.nan, np.nan, np.nan, np.nan, np.nan, 0.95, 0, 0, False, reason)
    units = data.select_units(held_out.places[fresh])
    scores = _unit_scores(policy, champion, units)
    return compare(units.labels, scores, held_out.scores[fresh], weights=units.weights, groups=units.groups)


def compare_first_head(
    policy: Policy, zero_shot: Head | None, data: TrainingSet, held_out: HeldOutUnits
) -> HeadComparison:
    """Compare a policy's first head with its prompts, or with chance if it has none, on units that it has not seen.

    Args:
        policy: the policy of both heads.
        zero_shot: head of the prompts; None without prompts.
        data: all labelled units of the policy.
        held_out: units that the new head has not seen, with its scores.
    """
    units = data.select_units(held_out.places)
    scores = None if zero_shot is None else _unit_scores(policy, zero_shot, units)
    return compare_first(units.labels, scores, held_out.scores, weights=units.weights, groups=units.groups)


def _unit_scores(policy: Policy, head: Head, units: TrainingSet) -> Floats:
    """(units,) logits of a head; a unit without any part that the head scores gets the lowest."""
    logits = HeadStack.of([head], {policy.id: policy}).logits(units.vectors, units.parts)[:, 0]
    scored = ~np.isnan(logits)
    lowest = logits[scored].min(initial=0.0) - 1.0
    return units.unit_maxima(np.where(scored, logits, lowest))


def _head(
    policy: Policy,
    fitted: CalibratedFit,
    fingerprint: str,
    data: TrainingSet,
    augmentation: Augmentation | None,
    requested: str,
) -> Head:
    targets = {"review": fitted.thresholds.get("recall"), "block": fitted.thresholds.get("precision")}
    review, block = (None if target is None or not target.attainable else target.cut for target in targets.values())
    if targets["block"] is None:
        block = policy.cuts.get("default", DEFAULT_CUTS)[1]
    if review is not None and block is not None:
        review = min(review, block)
    labelled = {"positives": int(data.labels.sum()), "negatives": int(len(data.labels) - data.labels.sum())}
    fit = fitted.fit
    chosen: dict[str, Any] = {"method": fit.method, "requested_method": requested, "method_reason": fit.reason}
    chosen |= {**fit.setting, "prompts": fit.uses_prompts}
    measured = {f"{name}_target": threshold_figures(target) for name, target in targets.items() if target is not None}
    if augmentation is not None:
        measured["augmentation"] = augmentation.to_dict()
    return Head(
        policy_id=policy.id,
        kind="head",
        fingerprint=fingerprint,
        coef=fit.coef,
        scales=dict.fromkeys(HEAD_PARTS, 1.0),
        intercepts=fit.intercepts,
        trained_at=datetime.now(UTC),
        calibration=fitted.calibration,
        review=review,
        block=block,
        basis=data.digest,
        figures={**labelled, **chosen, **fitted.figures, **measured},
        seen=fitted.seen,
        cache=fit.cache,
    )


def _raise_review_cut(head: Head, policy: Policy, sample: ViewSample, settings: TrainSettings) -> Head:
    """Raise the review cut until the share of the catalogue in review is within the review budget."""
    if settings.review_budget is None:
        return head
    parts = [HEAD_PARTS[place] for place in sample.parts]
    logits = head.logits(sample.vectors, parts)
    logits[[part not in policy.parts for part in parts]] = np.nan
    scores: Floats = head.calibration(sample.item_maxima(logits))
    block = np.inf if head.block is None else head.block
    review = max(head.cuts(policy)[0], budget_cut(scores[scores < block], settings.review_budget))
    return Head(**(vars(head) | {"review": min(review, block) if head.block is not None else review}))
