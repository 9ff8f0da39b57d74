"""Decisions about tags: the deepest value that is probable enough, "don't know" below a cut, and the choice of cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.heads.array_types import Floats, Indices
from firstsight.records import Record
from firstsight.understanding.tags.labels.tag_tree import TagTree

LOWEST_CUT: Final = 0.5
HIGHEST_CUT: Final = 0.99
PROMPT_CUT: Final = 0.5
"""Cut of a tag without labels: a value with half of the mass."""

_CUTS: Final = np.round(np.arange(LOWEST_CUT, HIGHEST_CUT + 0.005, 0.01), 2)


@dataclass(frozen=True)
class TagCut(Record):
    """A cut, and what it gives on labels that the fits did not see."""

    cut: float  # least probability of an answer, 0.5 to 0.99
    answered: float  # share of the labelled items with an answer, 0 to 1
    right: float  # share of the answers that are right; NaN without answers
    reached: bool  # whether the target was reached; else the cut is the highest one
    items: int  # labelled items behind the shares


def deepest_values(tree: TagTree, masses: Floats, cut: float) -> Indices:
    """Choose the deepest value with enough probability for each item.

    Args:
        tree: the values.
        masses: (m, values) probabilities.
        cut: least probability; at 0.5 or above, no two values of one depth reach it unless both have exactly 0.5.

    Returns:
        (m,) places in the tree; -1 for "don't know".
    """
    if not len(tree.names):
        return np.full(len(masses), -1, dtype=np.int64)
    order = np.where(masses >= cut, tree.depths + masses, -1.0)
    best = order.argmax(axis=1)
    return np.asarray(np.where(order[np.arange(len(masses)), best] >= 0, best, -1), dtype=np.int64)


def best_leaves(tree: TagTree, masses: Floats) -> Indices:
    """Return the (m,) most probable values without children."""
    return np.asarray(np.where(tree.is_leaf, masses, -1.0).argmax(axis=1), dtype=np.int64)


def right_answers(tree: TagTree, answers: Indices, labels: Indices) -> NDArray[np.bool_]:
    """Whether answers are right: a parent of the label is right, and so is a value below a label that has children.

    Args:
        tree: the values.
        answers: (m,) places; -1 for "don't know", which is not right.
        labels: (m,) places.
    """
    return np.array(
        [
            answer >= 0 and (tree.covers(answer, label) or tree.covers(label, answer))
            for answer, label in zip(answers.tolist(), labels.tolist(), strict=True)
        ],
        dtype=np.bool_,
    )


def choose_tree_cut(tree: TagTree, masses: Floats, labels: Indices, precision: float) -> TagCut:
    """Choose the lowest cut at which answers are right often enough.

    Args:
        tree: the values.
        masses: (m, values) probabilities, by fits that did not see the item.
        labels: (m,) places.
        precision: share of the answers that should be right, 0 to 1.
    """
    outcomes = []
    for cut in _CUTS.tolist():
        answers = deepest_values(tree, masses, cut)
        outcomes.append((cut, answers >= 0, right_answers(tree, answers, labels)))
    return _choose(outcomes, precision)


def choose_value_cut(probabilities: Floats, labels: NDArray[np.bool_], precision: float) -> TagCut:
    """Choose the cut of one value of a multi-label tag, as `choose_tree_cut`.

    Args:
        probabilities: (m,) by fits that did not see the item.
        labels: (m,) whether the item has the value.
        precision: share of the items with an answer that should have the value, 0 to 1.
    """
    return _choose([(cut, probabilities >= cut, labels & (probabilities >= cut)) for cut in _CUTS.tolist()], precision)


def _choose(outcomes: Sequence[tuple[float, NDArray[np.bool_], NDArray[np.bool_]]], precision: float) -> TagCut:
    measured = []
    for cut, answered, right in outcomes:
        share = float(right.sum() / answered.sum()) if answered.any() else float("nan")
        measured.append(TagCut(cut, float(answered.mean()), share, share >= precision, len(answered)))
    return next((one for one in measured if one.reached), measured[-1])
