"""Answers to labelled items, by fits that did not see them, and the comparison of a new version by its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.heads.array_types import Floats, Indices
from firstsight.understanding.tags.labels.tag_tree import TagTree
from firstsight.understanding.tags.models.item_vectors import ItemVectors
from firstsight.understanding.tags.models.tag_decisions import best_leaves, right_answers
from firstsight.understanding.tags.models.tag_model import TagModel
from firstsight.understanding.tags.models.tag_scorers import standard_prompt_logits
from firstsight.understanding.tags.training.tag_shots import TagShots
from firstsight.understanding.tags.training.version_comparison import TagComparison, class_accuracy, compare_answers

SEPARATOR: Final = "\n"
"""Separator of values in `TagModel.held_out`."""


def answered_values(tree: TagTree, masses: Floats, multi: bool) -> list[list[str]]:
    """Return the most probable value of each item; of a multi-label tag, the values with half of the probability."""
    if multi:
        return [[tree.names[n] for n in np.flatnonzero(row >= 0.5)] for row in masses]
    return [[tree.names[n]] for n in best_leaves(tree, masses)]


def answer_outcomes(
    shots: TagShots, answers: Sequence[Sequence[str]]
) -> tuple[NDArray[np.bool_], Indices, NDArray[np.object_]]:
    """Compare answers with the labels.

    Args:
        shots: the labelled items.
        answers: (n,) values that each item was given.

    Returns:
        Whether each answer is right, the class of its label, and its group; a multi-label tag has one answer for each
        item and value.
    """
    tree, groups = shots.tree, shots.groups
    if not shots.multi:
        places = np.array([tree.places.get(values[0], -1) if values else -1 for values in answers], dtype=np.int64)
        return right_answers(tree, places, shots.own), shots.own, groups
    given = np.zeros(shots.labels.shape, dtype=np.bool_)
    for n, values in enumerate(answers):
        given[n, [tree.places[value] for value in values if value in tree.places]] = True
    classes = np.arange(len(tree.names)) * 2 + shots.labels
    return (given == shots.labels).ravel(), classes.ravel(), np.repeat(groups, len(tree.names))


def compare_with_champion(
    shots: TagShots, answers: Sequence[Sequence[str]], champion: TagModel | None
) -> TagComparison:
    """Compare the answers of a new version with those of the version in use, or of the prompts.

    Args:
        shots: the labelled items.
        answers: (n,) values that cross-fitting gave each item.
        champion: version in use; None to compare with the prompts and the most frequent value.
    """
    right, classes, groups = answer_outcomes(shots, answers)
    if champion is not None and champion.multi == shots.multi:
        before = answer_outcomes(shots, answers_of(champion, shots.items))[0]
        return compare_answers(f"version {champion.version}", before, right, classes, groups)
    counts = shots.labels.sum(axis=0)
    frequent = [[shots.tree.names[int(counts.argmax())]]] * len(shots.labels)
    if shots.multi:
        frequent = [
            [name for name, often in zip(shots.tree.names, counts * 2 > len(shots.labels), strict=True) if often]
        ]
        frequent = frequent * len(shots.labels)
    majority = answer_outcomes(shots, frequent)[0]
    against = compare_answers("the most frequent value", majority, right, classes, groups, must_gain=True)
    if not against.use or shots.prompts is None:
        return against
    by_prompts = answer_outcomes(shots, _prompt_answers(shots))[0]
    with_prompts = compare_answers("the prompts", by_prompts, right, classes, groups)
    return against if class_accuracy(majority, classes) > with_prompts.accuracy_before else with_prompts


def answers_of(champion: TagModel, items: ItemVectors) -> list[list[str]]:
    """Return the answers of a version: of cross-fitting for items that it has seen, else of its fits.

    Args:
        champion: a version with its fits.
        items: vectors of the items, of the same encoder.
    """
    assert champion.scorer is not None
    answers = answered_values(champion.tree, champion.scorer.masses(items.whole), champion.multi)
    held_out = dict(zip(champion.seen, champion.held_out, strict=True))
    return [
        [value for value in held_out[item_id].split(SEPARATOR) if value] if item_id in held_out else answer
        for item_id, answer in zip(items.item_ids, answers, strict=True)
    ]


def _prompt_answers(shots: TagShots) -> list[list[str]]:
    """The nearest prompt; of a multi-label tag as many of the nearest as items have values on average."""
    assert shots.prompts is not None
    leaves = np.flatnonzero(shots.tree.is_leaf)
    logits = standard_prompt_logits(shots.items.whole, shots.prompts[leaves])
    count = max(1, round(float(shots.labels.sum(axis=1).mean()))) if shots.multi else 1
    nearest = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    return [[shots.tree.names[leaves[n]] for n in row] for row in nearest.tolist()]
