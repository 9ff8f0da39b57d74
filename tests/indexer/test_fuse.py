"""An item's vector is the weighted mean of its parts, as a unit vector."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstsight.encoders.base import Vector, unit
from firstsight.indexer.assembly import View, fuse
from firstsight.storage.tables import Part

WEIGHTS: dict[Part, float] = {"title": 1.0, "image": 2.0, "frame": 0.5}
PARTS: list[Part] = ["title", "image", "frame"]


def vector(seed: int, dim: int = 8) -> Vector:
    return unit(np.random.default_rng(seed).normal(size=dim))


def view(part: Part, seed: int) -> View:
    return View(f"a#{part}-{seed}", part, vector(seed))


def fused(views: Sequence[View]) -> Vector:
    vector = fuse(views, WEIGHTS)
    assert vector is not None
    return vector


def near(left: NDArray[Any], right: NDArray[Any], by: float = 1e-5) -> bool:
    return bool(np.abs(left - right).max() <= by)


views = st.lists(st.builds(view, st.sampled_from(PARTS), st.integers(0, 2**32)), min_size=1, max_size=12)


@given(views)
def test_a_fused_vector_has_unit_length(given_views: list[View]) -> None:
    vector = fused(given_views)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@given(views, st.randoms(use_true_random=False))
def test_the_order_of_views_does_not_matter(given_views: list[View], dice: random.Random) -> None:
    assert near(fused(given_views), fused(dice.sample(given_views, len(given_views))))


@given(views)
def test_it_is_the_documented_formula(given_views: list[View]) -> None:
    total = np.zeros(8)
    for part in PARTS:
        vectors = [v.vector.astype(np.float64) for v in given_views if v.part == part]
        if vectors:
            mean = np.mean(vectors, axis=0)
            total += WEIGHTS[part] * mean / np.linalg.norm(mean)
    assert near(fused(given_views), total / np.linalg.norm(total), by=1e-4)


@given(views, st.integers(1, 5))
def test_a_part_counts_once_however_often_its_views_are_repeated(given_views: list[View], times: int) -> None:
    titles = [v for v in given_views if v.part == "title"]
    assert near(fused(given_views + titles * times), fused(given_views))


@pytest.mark.parametrize("part", PARTS)
def test_an_item_of_one_part_has_that_parts_vector_whatever_its_weight(part: Part) -> None:
    assert near(fused([view(part, 1)]), vector(1))


def test_a_part_of_weight_zero_drops_out() -> None:
    alone = fuse([view("title", 1), view("image", 2)], {"title": 0.0, "image": 1.0})
    assert alone is not None
    assert near(alone, vector(2))


def test_there_is_no_vector_of_nothing() -> None:
    assert fuse([], WEIGHTS) is None
    assert fuse([view("title", 1)], {"title": 0.0, "image": 1.0}) is None
