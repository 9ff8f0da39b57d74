"""Semantic IDs: codes go from coarse to fine, copies make them unique, and existing IDs never change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.clusters import assign_clusters
from firstsight.recommend.semantic_ids.codebooks import Codebooks, default_code_count
from firstsight.recommend.semantic_ids.codes import count_copies, uniqueness


def blobs(items: int, groups: int, *, dim: int = 24, spread: float = 0.25, seed: int = 1) -> tuple[Vectors, np.ndarray]:
    """Unit vectors around the centres of groups, and the group of each."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((groups, dim))
    group = draw.integers(groups, size=items)
    rows = centres[group] + spread * draw.standard_normal((items, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), group


def purity(code: np.ndarray, group: np.ndarray) -> float:
    """Share of items in the most common group of their code."""
    return float(sum(np.bincount(group[code == one]).max() for one in np.unique(code)) / len(code))


def test_small_catalogues_have_fewer_codes() -> None:
    assert [default_code_count(n) for n in (0, 100, 1_682, 3_686, 10**6)] == [2, 12, 210, 256, 256]


def test_each_level_leaves_less_over() -> None:
    vectors, _ = blobs(1_500, 20)
    books = Codebooks.fit(vectors)
    assert (books.levels, books.codes) == (3, 187)
    assert 1 > books.errors[0] > books.errors[1] > books.errors[2] > 0
    codes = books.encode(vectors)
    rest = vectors - sum(books.means[level][codes[:, level]] for level in range(3))
    assert np.mean(np.sum(rest**2, axis=1)) == pytest.approx(books.errors[-1], rel=1e-3)


def test_items_of_a_prefix_are_of_one_kind_and_those_of_shuffled_codes_are_not() -> None:
    vectors, group = blobs(1_500, 20)
    code = Codebooks.fit(vectors, codes=64).encode(vectors)[:, 0]
    shuffled = np.random.default_rng(0).permutation(code)
    assert purity(code, group) > 0.95
    assert purity(shuffled, group) < 0.3


def test_items_far_more_alike_than_most_still_have_codes_of_their_own() -> None:
    """Variants of a product differ much less than products do."""
    draw = np.random.default_rng(3)
    families, _ = blobs(250, 250, dim=64)
    rows = np.repeat(families, 6, axis=0) + 0.02 * draw.standard_normal((1_500, 64))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert uniqueness(Codebooks.fit(vectors).encode(vectors)) > 0.8


def test_the_same_seed_gives_the_same_codes() -> None:
    vectors, _ = blobs(600, 10)
    one, two = (Codebooks.fit(vectors, seed=5).encode(vectors) for _ in range(2))
    assert (one == two).all()


def test_what_has_no_vector_has_no_code_and_no_cluster() -> None:
    vectors, _ = blobs(200, 5)
    vectors[[3, 77]] = 0
    codes = Codebooks.fit(vectors).encode(vectors)
    assert np.flatnonzero((codes == -1).all(axis=1)).tolist() == [3, 77]
    found = assign_clusters(ItemSpace.of([f"i{n:03d}" for n in range(200)], vectors))
    assert np.flatnonzero(found == -1).tolist() == [3, 77]
    assert found.dtype == np.int32
    assert found.max() < default_code_count(198)


def test_clusters_of_stored_codebooks_are_their_first_level() -> None:
    vectors, _ = blobs(400, 8)
    books = Codebooks.fit(vectors[:300])
    space = ItemSpace.of([f"i{n:03d}" for n in range(400)], vectors)
    assert (assign_clusters(space, books) == books.encode(vectors)[:, 0]).all()
    assert (assign_clusters(ItemSpace.of(["one"], vectors[:1])) == [0]).all()


def test_equal_vectors_are_more_than_the_codes_there_can_be() -> None:
    same = np.tile(np.eye(4, dtype=np.float32)[0], (40, 1))
    codes = Codebooks.fit(same).encode(same)
    assert uniqueness(codes) == 0
    assert count_copies(codes).tolist() == list(range(40))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [({"levels": 0}, "0 levels"), ({"codes": 1}, "1 codes a level"), ({"codes": 41}, "40 items with a vector")],
)
def test_what_cannot_be_fitted_is_refused(settings_: dict[str, int], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Codebooks.fit(blobs(40, 2)[0], **settings_)


def test_vectors_of_another_dimension_are_refused() -> None:
    books = Codebooks.fit(blobs(40, 2)[0])
    with pytest.raises(QueryError, match="24 dimensions"):
        books.encode(np.eye(5, dtype=np.float32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40), st.data())
def test_copies_make_codes_unique_however_arrivals_are_cut(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    codes = np.array(rows, dtype=np.int32)
    at_once = count_copies(codes)
    whole = [(*row, int(copy)) for row, copy in zip(rows, at_once, strict=True)]
    assert len(set(whole)) == len(whole)
    cut = data.draw(st.integers(0, len(rows)))
    later = count_copies(codes[cut:], codes[:cut])
    assert (at_once[cut:] == later).all()
