"""A head trained also on changed copies of its labelled pictures, and the comparison that decides about it.

Copies stay on the same side of every split as the unit that they come from, and share its weight with it. Calibration,
thresholds and figures come from intact held-out units alone. The head with copies is used only if, at the same false
positive rate on intact held-out negatives, its recall on changed held-out positives is higher with 95 % confidence, and
its recall on intact ones is not lower. The bootstrap is paired and draws groups (Efron and Tibshirani, "An Introduction
to the Bootstrap", 1993, chapter 16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vector
from firstsight.heads.array_types import Floats, Indices
from firstsight.heads.calibrated_fit import (
    CalibratedFit,
    TrainSettings,
    calibrate_fit,
    fit_and_calibrate,
    held_out_places,
)
from firstsight.heads.cluster_bootstrap import draw_clusters
from firstsight.heads.fitting import Recipe, TrainingSet, cross_validated_logits, make_folds
from firstsight.heads.methods.view_methods import PolicyPrompts, fit_method
from firstsight.records import Record
from firstsight.threads import single_threaded_blas

DRAWS = 2_000
"""Bootstrap draws."""

DEFAULT_RATE = 0.05
"""False positive rate of the comparison, if the head without copies has no attainable review threshold."""

MIN_POSITIVES = 10
"""Minimum number of held-out groups with changed positives for a comparison."""


@dataclass(frozen=True)
class Copies:
    """Changed copies of labelled units."""

    units: TrainingSet  # m copies, as units of their own
    source: Indices  # (m,) place of the unit that each copy comes from
    changes: NDArray[np.object_]  # (m,) name of the change

    def select(self, chosen: NDArray[np.bool_]) -> Copies:
        """Keep only some copies.

        Args:
            chosen: (m,) bool.
        """
        return Copies(self.units.select_units(np.flatnonzero(chosen)), self.source[chosen], self.changes[chosen])


@dataclass(frozen=True)
class Augmentation(Record):
    """Recall of a head with and without copies, on held-out units, at the same false positive rate."""

    used: bool
    reason: str  # the rule, applied: one sentence
    copies: int  # copies of all units
    positives: int  # held-out groups with changed positives
    false_positive_rate: float  # of intact held-out negatives, for both heads at most
    clean_plain: float  # recall on intact positives without copies
    clean_augmented: float
    changed_plain: float  # recall on changed positives without copies
    changed_augmented: float
    low: float  # ends of the 95 % interval of the gain on changed positives
    high: float
    changed_negatives_plain: float  # false positive rate on changed negatives without copies
    changed_negatives_augmented: float
    by_change: Mapping[str, tuple[float, float]]  # change -> recall without and with copies


@single_threaded_blas()
def fit_with_copies(
    data: TrainingSet,
    copies: Copies,
    means: Mapping[str, Vector],
    prompts: PolicyPrompts | None,
    settings: TrainSettings,
) -> tuple[CalibratedFit, Augmentation]:
    """Fit a head without and with copies, and return the one that the rule chooses, calibrated.

    Args:
        data: labelled units of both classes.
        copies: copies of them.
        means, prompts, settings: as for `fit_and_calibrate`.

    Raises:
        SafetyError: `settings.confidence` is not above 0.5.
    """
    plain = fit_and_calibrate(data, means, prompts, settings)
    if plain.held_out is None or not len(copies.source):
        reason = "there are too few labels to hold any out" if plain.held_out is None else "no picture has a copy"
        return plain, _unused(f"not used: {reason}", len(copies.source))
    out, seen_places, method = held_out_places(data)
    held_copies = copies.select(np.isin(copies.source, out))
    if seen_places is not None:
        training = join_copies(data.select_units(seen_places), _renumbered(copies, seen_places))
        folds = make_folds(data.select_units(seen_places))
        folds = _extended(folds, len(seen_places), _renumbered(copies, seen_places))
        fit = fit_method(training, means, prompts, folds, settings.method)
        logits = fit.unit_logits(data.select_units(out))
        copy_logits = fit.unit_logits(held_copies.units)
        plain_logits = plain.fit.unit_logits(data.select_units(out))
        plain_copy_logits = plain.fit.unit_logits(held_copies.units)
        seen = tuple(data.unit_ids[n] for n in seen_places)
    else:
        training = join_copies(data, copies)
        inner = make_folds(data)
        folds = _extended(inner, len(data.labels), copies)
        fit = fit_method(training, means, prompts, folds, settings.method)
        all_logits = cross_validated_logits(training, means, fit.recipe, folds)
        logits, copy_logits = all_logits[: len(data.labels)], all_logits[len(data.labels) :]
        # heads without copies, by the same folds, score the copies of the units that they did not see
        plain_all = _scores_of_copies(data, copies, means, plain.fit.recipe, inner)
        plain_logits, plain_copy_logits = plain_all
        seen = data.unit_ids
    rate = _rate(plain, data.labels[out], plain_logits)
    found = compare_recalls(
        data.select_units(out),
        held_copies,
        np.searchsorted(out, held_copies.source),
        (plain_logits, plain_copy_logits),
        (logits, copy_logits),
        rate,
        len(copies.source),
    )
    if not found.used:
        return plain, found
    return calibrate_fit(data, out, fit, seen, logits, method, prompts, settings), found


def join_copies(data: TrainingSet, copies: Copies) -> TrainingSet:
    """Put units and their copies into one training set; a unit and its copies share the unit's weight equally.

    Args:
        data: n units.
        copies: m copies with their sources in `data`.

    Returns:
        n + m units, the copies last.
    """
    shares = data.weights / (1 + np.bincount(copies.source, minlength=len(data.labels)))
    added = copies.units
    return TrainingSet(
        np.concatenate([data.vectors, added.vectors]),
        np.concatenate([data.parts, added.parts]),
        np.concatenate([data.units, added.units + len(data.labels)]),
        (*data.unit_ids, *added.unit_ids),
        np.concatenate([data.labels, added.labels]),
        np.concatenate([shares, shares[copies.source]]),
        np.concatenate([data.groups, added.groups]),
    )


def compare_recalls(
    data: TrainingSet,
    copies: Copies,
    sources: Indices,
    plain: tuple[Floats, Floats],
    augmented: tuple[Floats, Floats],
    rate: float,
    all_copies: int,
    *,
    seed: int = 0,
) -> Augmentation:
    """Compare the recall of two heads on held-out units and their copies, at the same false positive rate.

    Args:
        data: n held-out units.
        copies: m copies of them.
        sources: (m,) place in `data` of each copy.
        plain, augmented: (n,) logits of the units and (m,) of the copies, by each head.
        rate: maximum share of intact negatives above the cut of either head.
        all_copies: number of copies for the report.
        seed: random seed of the bootstrap.
    """
    positive, negative = data.labels == 1, data.labels == 0
    flags = []
    for logits, copy_logits in (plain, augmented):
        cut = _cut_at(logits[negative], rate)
        flags.append(((logits > cut).astype(np.float64), (copy_logits > cut).astype(np.float64)))
    of_positive = copies.units.labels == 1
    groups = data.groups[positive].astype(str)
    names, codes = np.unique(groups, return_inverse=True)
    place = np.full(len(data.labels), -1)
    place[positive] = codes
    # each positive unit counts once: the mean over its copies
    recalls = [_mean_of_copies(flag[1], sources, len(data.labels)) for flag in flags]
    counted = positive & np.isfinite(recalls[0])
    members = len(np.unique(place[counted]))
    clean = [float(flag[0][positive].mean()) if positive.any() else np.nan for flag in flags]
    if members < MIN_POSITIVES:
        return _unused(
            f"not used: copies of {members} held-out positives, and {MIN_POSITIVES} are needed", all_copies, *clean
        )
    weights = np.bincount(place[counted], minlength=len(names)).astype(np.float64)
    sums = [np.bincount(place[counted], recall[counted], minlength=len(names)) for recall in recalls]
    times = draw_clusters(len(names), DRAWS, seed)
    totals = times @ weights
    valid = totals > 0
    gains = ((times @ (sums[1] - sums[0]))[valid]) / totals[valid]
    low, high = (float(end) for end in np.quantile(gains, [0.025, 0.975]))
    changed = [float(recall[counted].mean()) for recall in recalls]
    falls = clean[1] < clean[0]
    used = low > 0 and not falls
    reason = (
        f"{'used' if used else 'not used'}: recall on changed held-out pictures {changed[0]:.3f} -> {changed[1]:.3f}, "
        f"gain {low:+.3f} to {high:+.3f}; on intact ones {clean[0]:.3f} -> {clean[1]:.3f}; the gain must be above 0, "
        "and recall on intact pictures must not fall"
    )
    by_change = {
        str(name): (
            float(flags[0][1][chosen].mean()),
            float(flags[1][1][chosen].mean()),
        )
        for name in dict.fromkeys(copies.changes.tolist())
        if (chosen := of_positive & (copies.changes == name)).any()
    }
    negatives = [float(flag[1][~of_positive].mean()) if (~of_positive).any() else np.nan for flag in flags]
    return Augmentation(
        *(used, reason, all_copies, members, rate),
        *(clean[0], clean[1], changed[0], changed[1], low, high),
        *(negatives[0], negatives[1], by_change),
    )


def _scores_of_copies(
    data: TrainingSet,
    copies: Copies,
    means: Mapping[str, Vector],
    recipe: Recipe,
    folds: list[Indices],
) -> tuple[Floats, Floats]:
    """Logits of units and of their copies; the fit behind each saw no unit of its fold, and no copy at all."""
    logits, copy_logits = np.empty(len(data.labels)), np.empty(len(copies.source))
    everything = np.arange(len(data.labels))
    for fold in folds:
        kept = data.select_units(np.setdiff1d(everything, fold))
        fit = recipe.fit(kept, means)
        logits[fold] = fit.unit_logits(data.select_units(fold))
        of_fold = np.isin(copies.source, fold)
        if of_fold.any():
            copy_logits[of_fold] = fit.unit_logits(copies.select(of_fold).units)
    return logits, copy_logits


def _renumbered(copies: Copies, chosen: Indices) -> Copies:
    """Copies of the chosen units, with their places among these."""
    kept = copies.select(np.isin(copies.source, chosen))
    return Copies(kept.units, np.searchsorted(chosen, kept.source), kept.changes)


def _extended(folds: list[Indices], units: int, copies: Copies) -> list[Indices]:
    """Folds with the copies of their units; copies are numbered after the units."""
    return [np.concatenate([fold, units + np.flatnonzero(np.isin(copies.source, fold))]) for fold in folds]


def _rate(plain: CalibratedFit, labels: NDArray[np.int8], logits: Floats) -> float:
    """False positive rate of the head without copies at its review threshold."""
    target = plain.thresholds.get("recall")
    if target is None or not target.attainable:
        return DEFAULT_RATE
    return float((plain.calibration(logits)[labels == 0] >= target.cut).mean())


def _cut_at(negatives: Floats, rate: float) -> float:
    """The lowest cut that at most this share of the negatives is above."""
    ordered = np.sort(negatives)[::-1]
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    return float(ordered[allowed]) if allowed < len(ordered) else -np.inf


def _mean_of_copies(flags: Floats, sources: Indices, units: int) -> Floats:
    counts = np.bincount(sources, minlength=units)
    with np.errstate(invalid="ignore"):
        return np.bincount(sources, flags, minlength=units) / np.where(counts, counts, np.nan)


def _unused(reason: str, copies: int, clean_plain: float = np.nan, clean_augmented: float = np.nan) -> Augmentation:
    nothing = (np.nan,) * 6
    return Augmentation(False, reason, copies, 0, np.nan, clean_plain, clean_augmented, *nothing, {})
