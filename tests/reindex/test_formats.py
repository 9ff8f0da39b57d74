"""Two vector sets of a database with float16 vectors or with fewer dimensions than its encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.encoders import registry
from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder
from firstsight.errors import EncoderMismatchError, QueryError
from firstsight.storage.store import Store
from tests.indexer.test_reduced_vectors import DIM, ROWS, WordEncoder
from tests.reindex.conftest import NEW, OLD
from tests.reindex.vector_sets import assert_complete, rows_of_set


@pytest.mark.slow
def test_both_sets_of_a_float16_database_are_float16(tmp_path: Path, shop: Path) -> None:
    db = firstsight.open(tmp_path / "half", encoder=OLD)
    db.index(shop, vectors="float16")
    assert db.encoders.reindex(NEW).missing == 0
    assert [Store.open(db.uri).of_set(number).vector_format for number in (0, 1)] == ["float16", "float16"]
    assert_complete(db.uri, atol=2e-3)
    db.encoders.switch()
    db.add([{"item_id": "later", "title": "later", "colour": "red"}])
    db.remove(["item-1"])
    assert db.status().vectors == "float16"
    assert db.search("later", k=1, mode="vector")[0].item_id == "later"
    assert_complete(db.uri, (1, 0), atol=2e-3)
    assert db.encoders.rollback().missing == 0
    assert db.search("later", k=1, mode="vector")[0].item_id == "later"
    db.encoders.switch()
    db.encoders.drop(OLD, force=True)
    db.encoders.reindex(OLD)  # a new set, of the format of the one in force
    assert Store.open(db.uri).of_set(2).vector_format == "float16"
    assert_complete(db.uri, (1, 2), atol=2e-3)


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with 16 of the 32 dimensions of `words`."""
    path = tmp_path_factory.mktemp("reduced") / "db"
    with firstsight.open(path, encoder=WordEncoder()) as db:
        db.index(ROWS, dimensions=16)
    return path


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch, reduced: Path, tmp_path: Path) -> firstsight.Database:
    """A copy of the database. Its encoder cannot be loaded by name: the object of the connection serves both sets."""

    def unknown(model: str, options: EncoderOptions) -> Encoder:
        raise AssertionError("the encoder is loaded already")

    monkeypatch.setitem(registry.FAMILIES, "words", unknown)
    return firstsight.open(shutil.copytree(reduced, tmp_path / "db"), encoder=WordEncoder())


def dims(db: firstsight.Database) -> dict[int, int]:
    return {state.number: state.dim for state in db.encoders.list()}


def test_the_matrix_belongs_to_the_reduced_set_alone(words: firstsight.Database) -> None:
    before = [(r.item_id, r.score) for r in words.search("green mug", k=3, mode="vector")]
    assert words.encoders.reindex(NEW).missing == 0
    assert dims(words) == {0: 16, 1: 24}
    words.encoders.switch()
    assert words.encoder.spec.name == NEW
    assert words.status().reduction is None
    words.add([{"item_id": "new", "title": "violet shoe"}])
    assert words.search("violet shoe", k=1, mode="vector")[0].item_id == "new"
    with pytest.raises(EncoderMismatchError, match=f"holds vectors of {NEW}"):
        firstsight.open(words.uri, encoder=WordEncoder()).search("green mug")
    assert_complete(words.uri, (1, 0))
    words.encoders.rollback()
    assert isinstance(words.encoder, ReducedEncoder)
    assert words.status().reduction is not None
    assert [(r.item_id, r.score) for r in words.search("green mug", k=3, mode="vector")] == before
    assert words.search("violet shoe", k=1, mode="vector")[0].item_id == "new"


def test_a_reindex_with_the_encoder_in_force_goes_back_to_whole_vectors(words: firstsight.Database) -> None:
    reader = firstsight.open(words.uri, encoder=WordEncoder())
    before = [(r.item_id, r.score) for r in reader.search("green mug", k=3, mode="vector")]
    report = words.encoders.reindex(WordEncoder())
    assert (report.missing, report.encoder, dims(words)) == (0, "words", {0: 16, 1: DIM})
    assert words.encoders.reindex(WordEncoder()).counts.items == 0  # the same set again
    assert words.encoders.switch("words").after == "words"
    assert reader.search("green mug", k=1, mode="vector")[0].item_id == "green-mug"
    assert (reader.status().reduction, reader.encoder.spec.dim) == (None, DIM)
    assert reader.vectors().matrix.shape[1] == DIM
    words.add([{"item_id": "new", "title": "violet shoe"}])  # both sets, with the matrix for one of them
    assert_complete(words.uri, (1, 0))
    late = firstsight.open(words.uri, encoder=WordEncoder())
    assert late.encoders.reindex(WordEncoder()).counts.items == 0  # the reduced set lacks nothing
    words.encoders.rollback()
    assert [(r.item_id, r.score) for r in reader.search("green mug", k=3, mode="vector")] == before
    assert late.search("violet shoe", k=1, mode="vector")[0].item_id == "new"
    words.encoders.switch()
    words.encoders.drop("words", force=True)
    assert dims(words) == {1: DIM}
    with pytest.raises(QueryError, match="words is in force"):
        words.encoders.reindex(WordEncoder())


def test_items_that_the_reduced_set_lacks_are_encoded_with_its_matrix(words: firstsight.Database) -> None:
    words.encoders.reindex(WordEncoder())
    words.encoders.switch()
    store = Store.open(words.uri)
    with store.writing():
        assert store.standby is not None
        store.standby.delete_rows(store.standby.views, "item_id = 'red-shoe'")
    with pytest.raises(QueryError, match=r"1 of 80 items .*firstsight reindex --encoder words"):
        words.encoders.rollback()
    report = words.encoders.reindex(WordEncoder())
    assert (report.counts.items, report.missing, report.number) == (1, 0, 0)
    words.encoders.rollback()
    stored = rows_of_set(words.uri, 0)[0]["red-shoe"]["vector"]
    np.testing.assert_allclose(stored, words.encoder.encode_texts(["red shoe"])[0], atol=1e-6)
