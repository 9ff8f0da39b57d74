"""Trees of values, back-off to parents, "don't know", and the choice of cuts."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.understanding.tags.labels.tag_tree import TagTree
from firstsight.understanding.tags.models.tag_decisions import choose_tree_cut, choose_value_cut, deepest_values
from firstsight.understanding.tags.models.tag_scorers import PromptScorer, level_masses
from firstsight.understanding.tags.training.version_comparison import compare_answers

TREE = TagTree.of(["Clothing > Shirts", "Clothing > Hats", "Toys"], levels=True)


def masses(shirts: float, hats: float, toys: float) -> np.ndarray:
    row = np.zeros((1, 4))
    row[0, TREE.places["Clothing > Shirts"]] = shirts
    row[0, TREE.places["Clothing > Hats"]] = hats
    row[0, TREE.places["Toys"]] = toys
    return TREE.sum_upwards(row)


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (masses(0.9, 0.05, 0.05), "Clothing > Shirts"),
        (masses(0.5, 0.45, 0.05), "Clothing"),  # a garment, but which one?
        (masses(0.4, 0.2, 0.4), None),
    ],
)
def test_the_deepest_value_with_enough_probability_is_the_answer(row: np.ndarray, answer: str | None) -> None:
    (place,) = deepest_values(TREE, row, 0.8)
    assert (TREE.names[place] if place >= 0 else None) == answer


def test_a_parent_has_the_probability_of_its_children() -> None:
    top, below = TREE.children(-1), TREE.children(TREE.places["Clothing"])
    found = level_masses(TREE, {-1: np.array([[0.7, 0.3]]), TREE.places["Clothing"]: np.array([[0.2, 0.8]])}, 1)[0]
    assert [TREE.names[place] for place in top] == ["Clothing", "Toys"]
    assert found[TREE.places["Clothing"]] == pytest.approx(found[below].sum())
    assert found[top].sum() == pytest.approx(1.0)


def test_values_without_levels_have_no_parents() -> None:
    assert TagTree.of(["a > b", "c"], levels=False).parents.tolist() == [-1, -1]


def test_prompts_alone_back_off_as_well() -> None:
    prompts = np.zeros((4, 3), dtype=np.float32)
    prompts[TREE.places["Clothing > Shirts"], 0] = prompts[TREE.places["Clothing > Hats"], 1] = 1.0
    prompts[TREE.places["Toys"], 2] = 1.0
    scorer = PromptScorer(TREE, prompts)
    shirt, between = scorer.masses(np.array([[1, 0, 0], [0.71, 0.7, 0]], dtype=np.float32))
    assert TREE.names[int(deepest_values(TREE, shirt[None], 0.6)[0])] == "Clothing > Shirts"
    assert TREE.names[int(deepest_values(TREE, between[None], 0.6)[0])] == "Clothing"


def test_the_cut_is_the_lowest_that_is_right_often_enough() -> None:
    tree = TagTree.of(["a", "b"], levels=False)
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1.0, 4_000)
    right = rng.random(4_000) < p
    labels = np.where(right, 0, 1)
    cut = choose_tree_cut(tree, np.stack([p, 1 - p], axis=1), labels, 0.9)
    assert cut.reached
    assert cut.right == pytest.approx(0.9, abs=0.01)
    assert cut.cut == pytest.approx(0.8, abs=0.03)  # answers above it are right with 0.9 on average
    assert cut.answered == pytest.approx(0.4, abs=0.05)


def test_an_unreachable_precision_gives_the_highest_cut() -> None:
    cut = choose_value_cut(np.full(10, 0.95), np.arange(10) < 5, 0.98)
    assert (cut.cut, cut.reached) == (0.99, False)


@pytest.mark.parametrize(("after", "use"), [(80, True), (79, False), (90, True)])
def test_a_version_is_used_unless_it_is_worse(after: int, use: bool) -> None:
    rows = np.arange(100)
    found = compare_answers("version 1", rows < 80, rows < after, np.zeros(100, np.int64), rows.astype(object))
    assert found.use is use
    assert found.low <= found.difference <= found.high
    assert f"of version 1 0.800; difference {after / 100 - 0.8:+.3f}" in found.reason


def test_a_first_version_must_gain_over_the_most_frequent_value() -> None:
    rows = np.arange(40)
    equal = compare_answers(
        "the most frequent value", rows < 20, rows < 20, rows % 2, rows.astype(object), must_gain=True
    )
    assert not equal.use
    assert "above 0 with 95% confidence is needed" in equal.reason
