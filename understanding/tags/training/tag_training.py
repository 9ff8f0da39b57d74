"""Training of one tag: fits for each level or value, then cuts and figures on cross-fitted labels.

Splits keep near-duplicates and the variants of a product together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from firstsight.encoders.base import Vectors
from firstsight.errors import SafetyError, TagError
from firstsight.heads.array_types import Floats, Indices
from firstsight.heads.curves import reliability
from firstsight.heads.methods.class_fit import METHODS, ClassFit, ClassShots, fit_classes
from firstsight.heads.methods.text_tower import TextTower
from firstsight.records import Record
from firstsight.understanding.tags.models.tag_decisions import (
    TagCut,
    best_leaves,
    choose_tree_cut,
    choose_value_cut,
    deepest_values,
    right_answers,
)
from firstsight.understanding.tags.models.tag_model import TagModel, TagSource
from firstsight.understanding.tags.models.tag_scorers import LevelScorer, ValueScorer, describe_methods, level_masses
from firstsight.understanding.tags.training.tag_answers import (
    SEPARATOR,
    answer_outcomes,
    answered_values,
    compare_with_champion,
)
from firstsight.understanding.tags.training.tag_shots import TagShots
from firstsight.understanding.tags.training.version_comparison import UNMEASURED, TagComparison, class_accuracy


@dataclass(frozen=True)
class TagTrainSettings:
    """Settings of a training.

    Raises:
        TagError: the precision is not above 0.5 and below 1, or the method is unknown.
    """

    method: str = "auto"  # one of `firstsight.heads.methods.class_fit.METHODS`
    precision: float = 0.98  # share of the answers that should be right, on cross-fitted labels
    templates: tuple[str, ...] = ()  # of prompts, with {} for the value; none for the defaults
    seed: int = 0  # random seed of the folds

    def __post_init__(self) -> None:
        if not 0.5 < self.precision < 1:
            raise TagError(f"the precision {self.precision:g} must be above 0.5 and below 1, such as 0.98")
        if self.method not in METHODS:
            raise TagError(f"there is no method {self.method!r}; the methods are {', '.join(METHODS)}")


@dataclass(frozen=True)
class TrainedTag(Record):
    """A new version of a tag, and why it is in use or not."""

    model: TagModel
    comparison: TagComparison
    notes: tuple[str, ...] = ()  # about values with few labels

    def to_dict(self) -> dict[str, Any]:
        """Return the version, the comparison and the notes as plain values."""
        return {**self.model.to_dict(), "comparison": self.comparison.to_dict(), "notes": list(self.notes)}


def train_tag(
    shots: TagShots,
    *,
    settings: TagTrainSettings,
    means: Vectors,
    fingerprint: str,
    source: TagSource,
    champion: TagModel | None = None,
    text_tower: TextTower | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> TrainedTag:
    """Train a version of a tag, measure it, and compare it with the one in use.

    Args:
        shots: from `make_shots`.
        settings: method, precision and seed.
        means: (3, dim) means that the vectors were centred at.
        fingerprint: of the encoder.
        source: where the labels came from.
        champion: version in use, for vectors of the same encoder; None to compare with the prompts.
        text_tower: of the encoder, for the method "coop".
        on_progress: called with a line for each fit.

    Raises:
        TagError: the labels cannot be fitted.
    """
    try:
        fit = _fit_values if shots.multi else _fit_levels
        scorer, masses = fit(shots, settings, text_tower, on_progress)
    except SafetyError as error:
        raise TagError(f"tag {shots.tag}: {error}") from None
    calibrated = bool(scorer.fits) and all(one.figures["calibrated"] for one in scorer.fits.values())
    if shots.multi:
        places = range(len(shots.tree.names))
        cuts = tuple(choose_value_cut(masses[:, n], shots.labels[:, n], settings.precision) for n in places)
    else:
        cuts = (choose_tree_cut(shots.tree, masses, shots.own, settings.precision),)
    answers = answered_values(shots.tree, masses, shots.multi)
    right, classes, _ = answer_outcomes(shots, answers)
    measured = any(one.figures["calibrated"] for one in scorer.fits.values())
    comparison = compare_with_champion(shots, answers, champion) if measured else UNMEASURED
    figures = {
        "items": len(shots.items.item_ids),
        "methods": list(describe_methods(scorer)),
        "reason": "; ".join(dict.fromkeys(one.reason for one in list(scorer.fits.values())[:3])),
        "calibrated": calibrated,
        "accuracy": class_accuracy(right, classes),
        "precision_target": settings.precision,
        **_shares(shots, masses, [cut.cut for cut in cuts]),
    }
    model = TagModel(
        tag=shots.tag,
        fingerprint=fingerprint,
        trained_at=datetime.now(UTC),
        tree=shots.tree,
        multi=shots.multi,
        cuts=cuts,
        source=source,
        templates=settings.templates,
        figures=figures | {"comparison": comparison.to_dict()},
        means=means,
        scorer=scorer,
        seen=shots.items.item_ids,
        held_out=tuple(SEPARATOR.join(values) for values in answers),
        answers=tuple(SEPARATOR.join(values) for values in _answers_at_cuts(shots, masses, cuts)),
        held_out_p=_held_out_probabilities(shots, masses),
    )
    return TrainedTag(model, comparison, _notes(shots, cuts))


def _answers_at_cuts(shots: TagShots, masses: Floats, cuts: Sequence[TagCut]) -> list[list[str]]:
    names = shots.tree.names
    if shots.multi:
        reached = masses >= np.array([cut.cut for cut in cuts])
        return [[names[n] for n in np.flatnonzero(row)] for row in reached]
    places = deepest_values(shots.tree, masses, cuts[0].cut)
    return [[names[place]] if place >= 0 else [] for place in places.tolist()]


def _held_out_probabilities(shots: TagShots, masses: Floats) -> Vectors:
    if shots.multi:
        return masses.astype(np.float32)
    rows = np.arange(len(masses))
    return np.stack([masses[rows, best_leaves(shots.tree, masses)], masses[rows, shots.own]], axis=1).astype(np.float32)


def _fit_levels(
    shots: TagShots, settings: TagTrainSettings, text_tower: TextTower | None, on_progress: Callable[[str], None]
) -> tuple[LevelScorer, Floats]:
    """Fit the children of each node, and compute (n, values) probabilities by fits that did not see the item."""
    tree, own = shots.tree, shots.own
    paths = [tree.ancestors(place) for place in own.tolist()]
    fits: dict[int, ClassFit] = {}
    shares: dict[int, Floats] = {}
    for parent in [-1, *np.flatnonzero(~tree.is_leaf).tolist()]:
        children = tree.children(parent)
        if len(children) < 2:
            continue
        depth = 0 if parent < 0 else int(tree.depths[parent]) + 1
        rows = np.array([n for n, path in enumerate(paths) if len(path) > depth and path[depth] in children], np.int64)
        labels = np.searchsorted(children, [paths[n][depth] for n in rows])
        names = tuple(tree.leaf_name(place) for place in children.tolist())
        on_progress(f"{shots.tag}: fitting {len(names)} values{f' of {tree.names[parent]}' if parent >= 0 else ''}")
        fit = _fit(
            shots, rows, labels, names, None if shots.prompts is None else shots.prompts[children], settings, text_tower
        )
        shares[parent] = fit.probabilities(shots.items.whole)
        shares[parent][rows] = fit.held_out
        fits[parent] = fit
    if not fits:
        raise TagError(f"tag {shots.tag}: no level has two values ({', '.join(tree.names[:3])}); label items of others")
    return LevelScorer(tree, fits), level_masses(tree, shares, len(own))


def _fit_values(
    shots: TagShots, settings: TagTrainSettings, text_tower: TextTower | None, on_progress: Callable[[str], None]
) -> tuple[ValueScorer, Floats]:
    """Fit each value that some items have and others have not."""
    fits: dict[int, ClassFit] = {}
    masses = np.zeros(shots.labels.shape)
    everything = np.arange(len(shots.labels))
    for place, name in enumerate(shots.tree.names):
        labels = shots.labels[:, place].astype(np.int64)
        if labels.all():
            continue
        on_progress(f"{shots.tag}: fitting {name}")
        prompts = None
        if shots.prompts is not None and len(shots.tree.names) > 1:
            others = np.delete(shots.prompts, place, axis=0).mean(axis=0)
            prompts = np.stack([others / max(float(np.linalg.norm(others)), 1e-9), shots.prompts[place]])
        fit = _fit(shots, everything, labels, ("other", name), prompts, settings, text_tower)
        fits[place], masses[:, place] = fit, fit.held_out[:, 1]
    if not fits:
        raise TagError(f"tag {shots.tag}: every labelled item has every value; label items that lack some value")
    return ValueScorer(shots.tree, fits), masses


def _fit(
    shots: TagShots,
    rows: Indices,
    labels: Indices,
    names: tuple[str, ...],
    prompts: Vectors | None,
    settings: TagTrainSettings,
    text_tower: TextTower | None,
) -> ClassFit:
    """Fit the classes of some items."""
    counts = np.bincount(labels, minlength=len(names))
    class_shots = ClassShots(
        vectors=shots.items.whole[rows],
        labels=np.asarray(labels, dtype=np.int64),
        classes=names,
        weights=np.ones(len(rows)),
        groups=shots.groups[rows],
        prompts=prompts,
    )
    if (counts > 0).sum() < 2:
        raise TagError(f"tag {shots.tag}: only {names[int(counts.argmax())]!r} of {', '.join(names)} has items")
    return fit_classes(class_shots, settings.method, text_tower=text_tower, seed=settings.seed)


def _shares(shots: TagShots, masses: Floats, cuts: Sequence[float]) -> dict[str, Any]:
    """Answered and right shares and the calibration error, on cross-fitted labels."""
    if shots.multi:
        answered = masses >= np.array(cuts)
        top, hit = masses.ravel(), shots.labels.ravel()
        right = (shots.labels & answered).sum() / max(int(answered.sum()), 1)
        shares = {"answered": float(answered.any(axis=1).mean()), "right": float(right)}
    else:
        answers = deepest_values(shots.tree, masses, cuts[0])
        leaves = best_leaves(shots.tree, masses)
        top, hit = masses[np.arange(len(leaves)), leaves], right_answers(shots.tree, leaves, shots.own)
        of_answers = right_answers(shots.tree, answers, shots.own)[answers >= 0]
        shares = {
            "answered": float((answers >= 0).mean()),
            "right": float(of_answers.mean()) if len(of_answers) else 0.0,
        }
    measured = reliability(np.clip(top, 0, 1), hit.astype(np.int8))
    return shares | {"calibration_error": measured.calibration_error}


def _notes(shots: TagShots, cuts: Sequence[TagCut]) -> tuple[str, ...]:
    notes = []
    single = [
        name for n, name in enumerate(shots.tree.names) if 0 < len(set(shots.groups[shots.labels[:, n]].tolist())) < 2
    ]
    if single:
        more = f" and {len(single) - 5} more" if len(single) > 5 else ""
        notes.append(
            f"labels of one product only, so that they cannot be measured: {', '.join(single[:5])}{more}; label more "
            "items"
        )
    if not any(cut.reached for cut in cuts):
        notes.append(
            f"no cut reaches the precision on cross-fitted labels; only values with a probability of {cuts[0].cut:.2f} "
            "are given"
        )
    return tuple(notes)
