"""Relevance: 0 to 1, reproducible, high for items that the catalogue has and low for others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import firstsight
from firstsight.encoders.base import unit
from firstsight.retrieval.query import Mode
from firstsight.retrieval.ranking.diversity import maximal_marginal_relevance
from firstsight.retrieval.ranking.fusion import reciprocal_rank, weighted
from firstsight.retrieval.ranking.relevance import COPY_COSINE, RandomPairCosines, RelevanceCalibration
from firstsight.storage.store import Store
from tests.retrieval.synthetic_items import SyntheticItems

THERE = [
    "red running shoes",
    "a musical instrument",
    "guitar",
    "something to sit on",
    "fruit",
    "teapot",
    "shoes",
    "hat",
]
NOT_THERE = ["zxqv blorp", "asdfghjkl", "mortgage refinancing rates", "the supreme court ruling", "heart surgery", "42"]


@pytest.fixture(scope="module")
def db(sample_db: Path) -> firstsight.Database:
    return firstsight.open(sample_db)


@pytest.mark.parametrize("text", THERE)
def test_what_the_catalogue_has_is_relevant(db: firstsight.Database, text: str) -> None:
    assert db.search(text, mode="vector", min_relevance=0.5)


@pytest.mark.parametrize("text", NOT_THERE)
@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_what_it_has_not_gives_an_empty_answer(db: firstsight.Database, text: str, mode: Mode) -> None:
    assert not db.search(text, mode=mode, min_relevance=0.5)


def test_relevance_falls_with_the_score_and_is_the_same_in_another_process(
    db: firstsight.Database, sample_db: Path
) -> None:
    results = db.search("shoes", mode="vector", k=75)
    relevances = [result.relevance for result in results]
    assert relevances == sorted(relevances, reverse=True)
    assert all(0 <= relevance < 1 for relevance in relevances)
    again = firstsight.open(sample_db).search("shoes", mode="vector", k=75)
    assert [result.relevance for result in again] == relevances


def test_one_random_item_in_ten_has_a_relevance_of_a_quarter(tmp_path: Path) -> None:
    """Without clusters, the definition of relevance can be checked by counting."""
    drawn = SyntheticItems(tmp_path / "db", 1)
    drawn.centres = np.zeros((1, 16))
    drawn.add(1_500)
    drawn.store.refresh()
    background = RelevanceCalibration.sample(drawn.store).background("words", "item")
    queries = unit(np.random.default_rng(5).normal(size=(200, 16)))
    cosines = (queries @ np.array(list(drawn.items.values())).T).ravel()
    share = np.mean([background.relevance(float(cosine)) >= 0.25 for cosine in cosines[:20_000]])
    assert share == pytest.approx(0.1, abs=0.02)


@given(
    st.floats(-0.5, 0.5) | st.none(),
    st.floats(0.001, 0.5),
    st.booleans(),
    st.lists(st.floats(-1, 1) | st.floats(0.9998, 1), min_size=2, max_size=20),
)
def test_relevance_grows_with_the_cosine_within_0_and_1(
    middle: float | None, width: float, copies: bool, cosines: list[float]
) -> None:
    background = RandomPairCosines(middle, None if middle is None else width, copies)
    relevances = [background.relevance(cosine) for cosine in sorted(cosines)]
    assert relevances == sorted(relevances)
    assert all(0 <= relevance <= 1 for relevance in relevances)
    for relevance in relevances:
        least = background.cosine(relevance)
        assert least > 1 or background.relevance(min(least + 2e-6, 1.0)) >= relevance - 1e-9


def test_only_a_copy_of_a_queried_picture_has_relevance_1() -> None:
    pictures, words = RandomPairCosines(0.1, 0.2, copies=True), RandomPairCosines(0.1, 0.2)
    assert pictures.relevance(COPY_COSINE) == 1
    assert pictures.relevance(COPY_COSINE - 1e-6) == words.relevance(COPY_COSINE - 1e-6) < 1
    assert words.relevance(1.0) < 1
    assert pictures.cosine(1.0) == pytest.approx(COPY_COSINE, abs=2e-6)
    assert words.cosine(1.0) == 2
    few = RandomPairCosines(None, None, copies=True)
    assert (few.relevance(0.99995), few.relevance(0.5)) == (1, 0.5)


def test_a_database_of_a_few_items_takes_the_cosine_for_relevance(tmp_path: Path) -> None:
    drawn = SyntheticItems(tmp_path / "db", 3)
    result = drawn.db.search("a query", mode="vector", k=1)[0]
    assert result.relevance == pytest.approx(max(result.score, 0))


def test_calibration_reads_rows_of_the_database_only_once_for_a_state(db: firstsight.Database) -> None:
    db.search("shoes")
    calibrated = db._connection._cached_calibration
    db.search(item="violin")
    assert db._connection._cached_calibration is calibrated


def test_every_medium_and_part_has_a_background_of_its_own(sample_db: Path) -> None:
    calibration = RelevanceCalibration.sample(Store.open(sample_db))
    middles = {
        (medium, part): calibration.background(medium, part).middle
        for medium in ("words", "pictures", "mixed")
        for part in ("item", "title", "image", "frame", "any", "best")
    }
    assert None not in middles.values()
    # the pairs of titles with items are also those of items with titles
    assert middles.pop(("mixed", "title")) == pytest.approx(middles["words", "item"])
    assert len(set(middles.values())) == len(middles)


# ---- the published methods, by hand


def test_reciprocal_rank_fusion_is_that_of_the_paper() -> None:
    assert reciprocal_rank([["a", "b"], ["b", "c"]]) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})


def test_weighted_fusion_brings_both_sides_to_0_to_1() -> None:
    fused = weighted({"a": 0.9, "b": 0.5, "c": 0.1}, {"b": 4.0, "c": 2.0}, floor=0.1, vector_share=0.3)
    assert fused == pytest.approx({"a": 0.3, "b": 0.15 + 0.7, "c": 0.35})


def test_maximal_marginal_relevance_is_that_of_the_paper() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.01], [0, 1]]))
    assert maximal_marginal_relevance([0.9, 0.89, 0.5], vectors, diversity=0.5) == [0, 2, 1]
    assert maximal_marginal_relevance([0.9, 0.89, 0.5], vectors, diversity=0.0) == [0, 1, 2]
    assert maximal_marginal_relevance([0.5, 0.9, 0.5], vectors, diversity=1.0)[0] == 1
    assert maximal_marginal_relevance([], np.empty((0, 2), dtype=np.float32), diversity=0.5) == []
