"""Search through a vector index: results as without an index, with all filters, and with new rows at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firstsight.encoders.base import Vectors
from firstsight.storage.indexes import index_recall
from firstsight.storage.indexes.index_recall import exact_distances, sample_vectors, tune
from firstsight.storage.indexes.upkeep import run_upkeep, table_state
from firstsight.storage.indexes.vector_index import (
    MIN_ROWS,
    TARGET_RECALL,
    IndexTuning,
    build_index,
    nearest_rows,
    store_tuning,
    stored_tuning,
)
from firstsight.storage.store import Store
from tests.storage.large_tables import add_items, clustered_vectors, item_row, make_store

pytestmark = pytest.mark.slow

ROWS = MIN_ROWS


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered_vectors(ROWS, 32)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, vectors: Vectors) -> Path:
    """A database with an index; read only."""
    path = tmp_path_factory.mktemp("indexed") / "db"
    store = make_store(path, dim=32)
    add_items(store, vectors)
    with store.writing():
        assert run_upkeep(store) is not None
    return path


@pytest.fixture
def store(indexed: Path) -> Store:
    return Store.open(indexed)


@pytest.fixture
def smaller_store(tmp_path: Path) -> Store:
    """A database with an index over a fifth of the rows, for measurements that read all of them many times."""
    store = make_store(tmp_path / "smaller", dim=32)
    add_items(store, clustered_vectors(ROWS // 5, 32))
    build_index(store.items)
    return store


@pytest.fixture
def writable(indexed: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of the database with an index, with the writer lock."""
    store = Store.open(shutil.copytree(indexed, tmp_path / "db"))
    with store.writing():
        yield store


@pytest.fixture(scope="module")
def queries() -> Vectors:
    """Vectors of the same clusters that are not stored."""
    return clustered_vectors(100, 32, seed=1)


def truth(
    vectors: Vectors, queries: Vectors, k: int, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> list[set[str]]:
    """Ids of the k nearest of the passing vectors, by comparing all."""
    scores = np.where(keep, queries @ vectors.T, -np.inf)
    return [{f"item-{n}" for n in row} for row in np.argsort(-scores, axis=1)[:, :k]]


def found(store: Store, queries: Vectors, k: int, condition: str | None = None) -> list[list[str]]:
    rows = nearest_rows(store, "items", queries, k=k, condition=condition, columns=["item_id"])
    return [[row["item_id"] for row in of_one] for of_one in rows]


def recall(found: list[list[str]], truth: list[set[str]]) -> float:
    return float(np.mean([len(set(ids) & best) / len(best) for ids, best in zip(found, truth, strict=True)]))


# ---- without an index


def test_a_small_table_is_searched_exactly(tmp_path: Path, queries: Vectors) -> None:
    few = clustered_vectors(500, 32)
    store = make_store(tmp_path / "db", dim=32)
    add_items(store, few)
    with store.writing():
        assert run_upkeep(store, by_hand=True) is not None
    assert table_state(store.items).tuning is None
    assert recall(found(store, queries, 10), truth(few, queries, 10, np.ones(500, bool))) == 1.0


def test_no_query_gives_no_results(store: Store) -> None:
    assert nearest_rows(store, "items", np.empty((0, 32), np.float32), k=3, condition=None, columns=[]) == []


# ---- with an index


def test_an_index_finds_what_exact_search_finds(store: Store, vectors: Vectors, queries: Vectors) -> None:
    assert stored_tuning(store.items) is not None
    assert recall(found(store, queries, 10), truth(vectors, queries, 10, np.ones(ROWS, bool))) >= 0.93


def test_rows_come_best_first_with_the_cosine_distance(store: Store, vectors: Vectors, queries: Vectors) -> None:
    rows = nearest_rows(store, "items", queries, k=20, condition=None, columns=["item_id"])
    for query, of_one in zip(queries, rows, strict=True):
        distances = [row["_distance"] for row in of_one]
        assert distances == sorted(distances)
        cosines = [float(vectors[int(row["item_id"].removeprefix("item-"))] @ query) for row in of_one]
        np.testing.assert_allclose(distances, 1 - np.array(cosines), atol=1e-5)
        assert set(of_one[0]) == {"item_id", "_distance"}


def test_many_queries_in_one_call_find_what_each_finds_alone(store: Store, queries: Vectors) -> None:
    together = found(store, queries[:20], 10)
    alone = [found(store, queries[n : n + 1], 10)[0] for n in range(20)]
    assert together == alone


@pytest.mark.parametrize("share", [10, 100, 1_000])
def test_filters_are_right_at_any_selectivity(store: Store, vectors: Vectors, queries: Vectors, share: int) -> None:
    keep = np.arange(ROWS) % share == 0
    rows = nearest_rows(store, "items", queries, k=10, condition=f"price % {share} = 0", columns=["item_id", "price"])
    assert all(len(of_one) == 10 and all(row["price"] % share == 0 for row in of_one) for of_one in rows)
    ids = [[row["item_id"] for row in of_one] for of_one in rows]
    assert recall(ids, truth(vectors, queries, 10, keep)) >= 0.95


def test_a_filter_with_fewer_rows_than_k_gives_them_all(store: Store, queries: Vectors) -> None:
    assert [len(ids) for ids in found(store, queries[:5], 10, "price < 4")] == [4] * 5
    assert found(store, queries[:5], 10, "price < 0") == [[]] * 5


def test_a_filter_on_an_unknown_column_raises_lancedbs_error(store: Store, queries: Vectors) -> None:
    with pytest.raises(ValueError, match="No field named colour"):
        found(store, queries[:1], 10, "colour = 'red'")


def test_new_and_changed_rows_are_found_as_they_are_now(writable: Store) -> None:
    new, moved = clustered_vectors(2, 32, seed=5)
    writable.write_items([item_row("new", new), item_row("item-7", moved)])
    assert table_state(writable.items).unindexed == 2
    assert found(writable, np.stack([new, moved]), 1) == [["new"], ["item-7"]]
    writable.delete_items(["new"])
    assert found(writable, new[None], 1) != [["new"]]


def test_open_readers_use_a_new_effort(writable: Store) -> None:
    reader = Store.open(writable.uri)
    tuning = IndexTuning(rows=ROWS, partitions=12, nprobes=3, refine=7, recall=0.97)
    store_tuning(writable.items, tuning)
    reader.refresh()
    assert stored_tuning(reader.items) == tuning
    writable.write_items([item_row("new", clustered_vectors(1, 32)[0])])  # writes leave it
    assert stored_tuning(writable.items) == tuning


# ---- measured recall


def test_the_stored_recall_is_the_recall_of_a_search(store: Store) -> None:
    tuning = stored_tuning(store.items)
    assert tuning is not None
    assert tuning.recall is not None
    assert tuning.reaches_target
    assert tuning.recall >= TARGET_RECALL
    other_sample = tune(store.items, tuning, seed=9)
    assert other_sample.recall == pytest.approx(tuning.recall, abs=0.03)


def test_the_effort_rises_until_the_target_is_reached(smaller_store: Store) -> None:
    start = IndexTuning(rows=ROWS // 5, partitions=12, nprobes=1, refine=1)
    low, high = tune(smaller_store.items, start, target=0.3), tune(smaller_store.items, start, target=0.999)
    assert low.recall is not None
    assert high.recall is not None
    assert low.recall < high.recall
    assert (low.nprobes, low.refine) < (high.nprobes, high.refine)


def test_an_unreachable_target_ends_with_the_largest_effort_and_its_recall(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_recall, "EFFORTS", ((0.01, 1), (0.1, 1)))
    tuned = tune(store.items, IndexTuning(rows=ROWS, partitions=12, nprobes=1, refine=1), target=0.999)
    assert (tuned.nprobes, tuned.refine, tuned.reaches_target) == (2, 1, False)
    assert tuned.recall is not None
    assert 0.0 < tuned.recall < 0.95


def test_an_effort_that_reaches_the_target_stays(store: Store) -> None:
    asked = IndexTuning(rows=ROWS, partitions=12, nprobes=12, refine=50, recall=0.99)
    tuned = tune(store.items, asked)
    assert (tuned.nprobes, tuned.refine) == (12, 50)
    assert tuned.recall == pytest.approx(1.0, abs=0.005)


def test_exact_distances_equal_a_comparison_of_all_rows(store: Store, vectors: Vectors, queries: Vectors) -> None:
    expected = np.sort(1 - queries @ vectors.T, axis=1)[:, :11]
    np.testing.assert_allclose(exact_distances(store.items, queries, 11), expected, atol=1e-5)


def test_copies_count_as_found(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db", dim=32)
    add_items(store, np.repeat(clustered_vectors(50, 32), 40, axis=0))  # ids of the ten nearest are arbitrary
    tuning = tune(store.items, build_index(store.items))
    assert tuning.recall == pytest.approx(1.0, abs=0.01)


def test_rows_without_a_vector_are_neither_sampled_nor_found(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db", dim=32)
    add_items(store, clustered_vectors(300, 32))
    store.write_items([item_row(f"empty-{n}", None) for n in range(100)])
    assert len(sample_vectors(store.items, 400)) == 300
    assert exact_distances(store.items, clustered_vectors(2, 32), 11).shape == (2, 11)
    assert not any(item_id.startswith("empty") for item_id in found(store, clustered_vectors(1, 32), 400)[0])


def test_a_dimension_that_rabitq_does_not_support_gets_another_index(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db", dim=12)
    add_items(store, clustered_vectors(10_000, 12))
    tuning = tune(store.items, build_index(store.items))
    (index,) = store.items.list_indices()
    assert index.index_type == "IvfSq"
    assert tuning.reaches_target
