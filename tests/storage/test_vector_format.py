"""Databases whose vectors are float16: every part works on them, and gives float32 vectors of length 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import firstsight
from firstsight.encoders.base import Encoder, EncoderSpec
from firstsight.errors import QueryError, StoreError
from firstsight.recommend.items import ItemSpace
from firstsight.storage.indexes.index_recall import tune
from firstsight.storage.indexes.vector_index import build_index, nearest_rows, store_tuning, stored_tuning
from firstsight.storage.store import Store
from firstsight.storage.vector_format import check_vector_format, to_float32, vector_type, vectors_of_column
from tests.conftest import SAMPLE_CATALOGUE
from tests.recommend.conftest import write_items
from tests.recommend.synthetic_events import clustered_space


@pytest.fixture(scope="module")
def half_db(sample_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample database with its rows in float16."""
    source = Store.open(sample_db)
    folder = tmp_path_factory.mktemp("half") / "db"
    store = Store.create(folder, source.spec, "float16")
    with store.writing():
        store.add_columns(source.column_kinds())
        store.write_items(source.items.search().limit(None).to_arrow().to_pylist())
        store.write_views(source.views.search().limit(None).to_arrow().to_pylist(), [])
    return folder


@pytest.fixture
def both(sample_db: Path, half_db: Path, starter: Encoder) -> Iterator[tuple[firstsight.Database, firstsight.Database]]:
    with firstsight.open(sample_db, encoder=starter) as full, firstsight.open(half_db, encoder=starter) as half:
        yield full, half


def is_unit(vectors: np.ndarray) -> bool:
    return vectors.dtype == np.float32 and bool(np.allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6))


def test_half_of_the_bytes_are_stored(half_db: Path, sample_db: Path) -> None:
    half, full = Store.open(half_db), Store.open(sample_db)
    for table in (half.items, half.views):
        assert table.schema.field("vector").type == pa.list_(pa.float16(), half.spec.dim)
    assert (half.vector_format, full.vector_format) == ("float16", "float32")


def test_searches_find_the_same_items(both: tuple[firstsight.Database, firstsight.Database]) -> None:
    full, half = both
    first = full.get(full.search("guitar", k=1)[0].item_id)
    for query in ({"text": "guitar"}, {"item": first.item_id}, {"vector": first.vector}):
        for settings in ({}, {"where": "kind = 'product'"}, {"part": "image"}, {"diversity": 0.3}):
            found = [db.search(**query, k=5, **settings) for db in both]
            assert [result.item_id for result in found[0]] == [result.item_id for result in found[1]], (query, settings)
            scores = [[result.score for result in results] for results in found]
            assert scores[1] == pytest.approx(scores[0], abs=2e-3)
    likes = [[item.item_id for item in db.similar(first.item_id, k=3)] for db in (full, half)]
    assert likes[0] == likes[1]


def test_vectors_are_given_as_float32_of_length_1(
    both: tuple[firstsight.Database, firstsight.Database], tmp_path: Path
) -> None:
    full, half = both
    for of in ("items", "views"):
        ids, matrix = half.vectors(of=of)
        same_ids, exact = full.vectors(of=of)
        assert ids == same_ids
        assert is_unit(matrix)
        assert np.abs(matrix - exact).max() < 1e-3
    item = half.get(half.vectors().ids[0])
    assert item.vector is not None
    assert is_unit(item.vector)
    assert all(is_unit(view.vector) for view in item.views)
    exported = half.to_arrow(vectors=True).read_all()
    assert exported.schema.field("vector").type == vector_type(Store.open(half.uri).spec.dim)
    assert is_unit(vectors_of_column(exported["vector"]))


def test_models_duplicates_and_status_read_them(both: tuple[firstsight.Database, firstsight.Database]) -> None:
    full, half = both
    assert half.status().vectors == "float16"
    assert full.status().vectors == "float32"
    groups = [[sorted(group.item_ids) for group in db.duplicates.find()] for db in both]
    assert groups[0] == groups[1]
    assert groups[0]
    assert len(half.evaluation.space_map(sample=20).points) == 20
    store = Store.open(half.uri)
    assert is_unit(ItemSpace.load(store).vectors[ItemSpace.load(store).has_vector])


def test_an_unchanged_catalogue_stays_and_another_format_is_refused(half_db: Path, starter: Encoder) -> None:
    with firstsight.open(half_db, encoder=starter) as db:
        report = db.index(SAMPLE_CATALOGUE, vectors="float16")
        assert (report.counts.encoded, report.counts.unchanged) == (0, report.counts.items)
        with pytest.raises(StoreError, match=r"stores vectors as float16, not as float32.*another --db"):
            db.index(SAMPLE_CATALOGUE, vectors="float32")
        with pytest.raises(QueryError, match=r"'int8'; give float32 or float16"):
            db.index(SAMPLE_CATALOGUE, vectors="int8")  # type: ignore[arg-type]


def test_a_new_database_gets_the_format(starter: Encoder, tmp_path: Path) -> None:
    with firstsight.open(tmp_path / "db", encoder=starter) as db:
        db.index([{"item_id": "a", "title": "red shoe"}, {"item_id": "b", "title": "blue hat"}], vectors="float16")
        assert db.search("shoe", k=1)[0].item_id == "a"
        db.add([{"item_id": "b", "title": "green hat"}])  # keeps the format
        assert Store.open(db.uri).vector_format == "float16"
        vector = db.get("b").vector
        assert vector is not None
        assert vector @ starter.encode_texts(["green hat"])[0] > 0.999


def test_an_index_over_float16_reaches_its_recall(tmp_path: Path) -> None:
    space = clustered_space(400, dim=64)
    store = Store.create(tmp_path / "db", EncoderSpec("drawn", 64, 1, "d"), "float16")
    with store.writing():
        write_items(store, space)
        store_tuning(store.items, tune(store.items, build_index(store.items)))
    store.refresh()
    tuning = stored_tuning(store.items)
    assert tuning is not None
    assert tuning.reaches_target
    found = nearest_rows(store, "items", space.vectors[:20], k=10, condition=None, columns=["item_id"])
    first = np.array([rows[0]["item_id"] for rows in found])
    assert (first == space.item_ids[:20]).mean() >= 0.9
    assert all(row["_distance"] >= 0 for rows in found for row in rows)


def test_rows_without_a_vector_stay_without_one() -> None:
    column = pa.array([[0.6, 0.8], None, [1.0, 0.0]], vector_type(2, "float16"))
    rows = to_float32(pa.table({"item_id": ["a", "b", "c"], "vector": column}))
    assert rows.schema.field("vector").type == vector_type(2)
    assert rows["vector"].to_pylist()[1] is None
    assert rows["vector"].to_pylist()[0] == pytest.approx([0.6, 0.8], abs=1e-3)
    assert len(vectors_of_column(rows["vector"])) == 2
    with pytest.raises(QueryError, match="int4"):
        check_vector_format("int4")
