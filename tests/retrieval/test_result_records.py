"""Items, failures and search results as records, over a real database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import firstsight
from firstsight.api.items import Failure, choose_pictures
from firstsight.database import open_tables
from firstsight.errors import QueryError
from firstsight.retrieval.results import SearchResult
from tests.indexer.shop import ColourEncoder, picture, write_jsonl


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> firstsight.Database:
    folder = tmp_path_factory.mktemp("records")
    (folder / "a.png").write_bytes(picture(1))
    (folder / "broken.png").write_bytes(b"no picture")
    rows = [
        {
            "item_id": "a",
            "title": "red cup",
            "images": ["a.png"],
            "price": 4.5,
            "new": True,
            "seen": datetime(2026, 5, 1, 12, tzinfo=UTC),
            "score": 7,
        },
        {"item_id": "b", "title": "green cup", "images": ["broken.png"], "price": 6, "new": False, "seen": None},
        {"item_id": "bare", "price": None},
    ]
    database = firstsight.open(folder / "db", encoder=ColourEncoder())
    database.index(rows, root=folder)
    return database


def test_an_item_has_its_columns_vector_and_views(db: firstsight.Database) -> None:
    item = db.get("a")
    assert (item.item_id, item.kind, item.title, item.text, item.created_at) == ("a", "product", "red cup", None, None)
    assert item.columns["seen"] == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert (item.columns["price"], item.columns["new"]) == (4.5, True)
    assert item.vector is not None
    assert item.vector.dtype == np.float32
    assert float(np.linalg.norm(item.vector)) == pytest.approx(1, abs=1e-5)
    assert [view.part for view in item.views] == ["image", "title"]
    assert all(view.item_id == "a" and view.vector.shape == item.vector.shape for view in item.views)
    image, title = item.views
    assert Path(str(image.uri)).name == "a.png"
    assert (title.uri, title.fingerprint, title.time_s) == (None, None, None)
    assert item == db.get("a") != db.get("b")


def test_an_item_becomes_json_with_or_without_its_vectors(db: firstsight.Database) -> None:
    item = db.get("a")
    plain = json.loads(json.dumps(item.to_dict(), allow_nan=False))
    assert plain["vector"] == pytest.approx(item.vector)
    assert plain["columns"]["seen"] == "2026-05-01T12:00:00+00:00"
    assert [view.pop("vector") is not None for view in plain["views"]] == [True, True]
    del plain["vector"]
    assert item.to_dict(vectors=False) == plain


def test_an_item_with_nothing_to_encode_has_no_vector(db: firstsight.Database) -> None:
    item = db.get("bare")
    assert (item.vector, item.views, item.columns["price"]) == (None, (), None)
    with pytest.raises(QueryError, match="there is no item 'c'"):
        db.get("c")


def test_failures_are_records_in_the_order_of_their_items(db: firstsight.Database) -> None:
    picture, empty = db.indexing.failures()
    assert isinstance(picture, Failure)
    assert (picture.item_id, picture.uri, picture.stage, picture.reason, picture.attempts) == (
        *("b", "broken.png", "decode", "corrupt"),
        1,
    )
    assert (empty.item_id, empty.uri, empty.reason) == ("bare", "", "empty")
    assert picture.last_seen.tzinfo is not None
    assert json.loads(json.dumps(picture.to_dict()))["reason"] == "corrupt"


def test_the_first_picture_of_an_item_is_shown(db: firstsight.Database) -> None:
    assert choose_pictures(open_tables(db), ["a", "b", "bare", "none"]) == {"a": "a#image-0"}


def test_a_table_of_results_has_the_columns_of_the_catalogue(db: firstsight.Database) -> None:
    results = db.search("cup", k=2)
    frame = results.to_pandas().set_index("item_id").sort_index()
    assert frame["price"].to_dict() == {"a": 4.5, "b": 6.0}
    assert [str(frame[name].dtype) for name in ("price", "new", "score")] == ["float64", "bool", "float64"]
    assert isinstance(frame["seen"].dtype, pd.DatetimeTZDtype)
    assert frame["score"].to_dict() == pytest.approx({result.item_id: result.score for result in results})
    assert "rank_score" not in frame
    assert "columns" not in frame


def test_a_table_without_results_has_the_columns_of_every_result(db: firstsight.Database) -> None:
    frame = db.search("cup", where="price > 100").to_pandas()
    assert len(frame) == 0
    assert list(frame.columns) == ["item_id", "kind", "title", "score", "relevance", "view", "picture"]


def test_a_field_takes_precedence_over_a_column_of_its_name() -> None:
    columns = {"score": 7.0, "variants": 3.0, "price": 1.0}
    row = SearchResult("a", "product", None, 0.5, 0.25, None, None, columns).to_row()
    assert row == {
        **{"item_id": "a", "kind": "product", "title": None, "score": 0.5, "relevance": 0.25},
        **{"view": None, "picture": None, "price": 1.0},
    }


def test_counts_of_a_run_do_not_change_afterwards(tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}", "title": f"cup {n}"} for n in range(3)]
    seen: list[firstsight.Counts] = []
    database = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    report = database.index(write_jsonl(tmp_path / "c.jsonl", rows), on_progress=seen.append)
    assert (seen[0].items, seen[0].total) == (0, 3)
    assert report.counts == seen[-1]
    assert report.counts.encoded == 3
    assert database.status().runs[-1].counts == report.counts.to_dict()
