"""Flipped labels are found among correct ones."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.errors import SafetyError
from firstsight.heads.label_noise import find_suspects, label_suspects, out_of_fold


def drawn(seed: int, rows: int, dim: int, prevalence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors of two classes with a small overlap."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < prevalence).astype(np.int8)
    direction = rng.normal(size=dim)
    vectors = rng.normal(size=(rows, dim)) / np.sqrt(dim) + np.outer(labels, direction / np.linalg.norm(direction))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "dim", "prevalence"), [(2_000, 64, 0.5), (1_000, 64, 0.2), (600, 96, 0.3)])
def test_most_flips_are_found_and_most_suspects_are_flips(rows: int, dim: int, prevalence: float) -> None:
    figures = []
    for seed in range(3):
        vectors, labels = drawn(seed, rows, dim, prevalence)
        flipped = np.random.default_rng(seed + 100).random(rows) < 0.1
        suspects = find_suspects(vectors, np.where(flipped, 1 - labels, labels)).rows
        figures.append((flipped[suspects].sum() / flipped.sum(), flipped[suspects].mean()))
    found, precision = np.mean(figures, axis=0)
    assert found >= 0.7
    assert precision >= 0.5


def test_clean_labels_raise_few_suspects_and_the_worst_comes_first() -> None:
    vectors, labels = drawn(0, 1_000, 64, 0.4)
    found = find_suspects(vectors, labels)
    assert len(found.rows) < 0.05 * 1_000
    assert np.all(np.diff(found.chance) <= 0)
    assert np.all((found.chance >= 0) & (found.chance <= 1))


def test_a_row_is_never_judged_by_its_own_copies() -> None:
    """Every row occurs twice with the same label; without groups, the copy would confirm it."""
    vectors, labels = drawn(1, 300, 256, 0.4)
    noise = np.random.default_rng(0).integers(0, 2, 300)  # random labels
    doubled, twice = np.repeat(vectors, 2, axis=0), np.repeat(noise, 2)
    alone = out_of_fold(doubled, twice, groups=np.repeat(np.arange(300), 2), strength=1000.0)
    leaked = out_of_fold(doubled, twice, strength=1000.0)
    assert np.mean((alone > 0.5) == twice) < 0.6
    assert np.mean((leaked > 0.5) == twice) > 0.8
    assert len(labels) == 300


def test_labels_that_cannot_be_cross_validated_are_refused() -> None:
    with pytest.raises(SafetyError, match="a class has 1 independent rows"):
        out_of_fold(np.eye(4), [0, 0, 0, 1])
    with pytest.raises(SafetyError, match="both classes"):
        label_suspects([0, 0], [0.1, 0.2])
    with pytest.raises(SafetyError, match="2 labels for 1"):
        label_suspects([0, 1], [0.1])
