"""Rows that a Python program passes: the same items from every kind of table."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from PIL import Image

import firstsight
from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.inputs.python_rows import source_of_rows
from tests.indexer.shop import ColourEncoder, picture

PICTURES = [picture(n) for n in range(3)]
ROWS: list[dict[str, Any]] = [
    {"item_id": f"i{n}", "title": f"thing {n}", "images": [PICTURES[n]], "price": n + 0.5} for n in range(3)
]
FEATURES = datasets.Features(
    {
        "item_id": datasets.Value("string"),
        "images": datasets.Image(),
        "kind_of_it": datasets.ClassLabel(names=["hat", "shoe"]),
    }
)

KINDS: dict[str, Callable[[], Any]] = {
    "list of dicts": lambda: ROWS,
    "tuple of dicts": lambda: tuple(ROWS),
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas, filtered": lambda: pd.DataFrame(ROWS)[lambda frame: frame.price > 0],
    "pandas with an index": lambda: pd.DataFrame(ROWS).set_index("item_id"),
    "pandas of Pillow pictures": lambda: pd.DataFrame([{**row, "images": opened(row)} for row in ROWS]),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars, lazy": lambda: pl.DataFrame(ROWS).lazy().filter(pl.col("price") > 0),
    "polars of Pillow pictures": lambda: pl.DataFrame(ROWS).with_columns(
        images=pl.Series([opened(row) for row in ROWS], dtype=pl.Object)
    ),
    "Arrow table": lambda: pa.Table.from_pylist(ROWS),
    "Arrow batch": lambda: pa.RecordBatch.from_pylist(ROWS),
    "Arrow reader": lambda: pa.Table.from_pylist(ROWS).to_reader(),
    "Arrow dataset": lambda: pyarrow.dataset.dataset(pa.Table.from_pylist(ROWS)),
}


def opened(row: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(row["images"][0]))


def open_db(folder: Path) -> firstsight.Database:
    return firstsight.open(folder / "db", encoder=ColourEncoder())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_gives_the_same_items(tmp_path: Path, kind: str) -> None:
    db = open_db(tmp_path)
    report = db.index(KINDS[kind]())
    assert (report.counts.items, report.counts.pictures, report.counts.failed_media) == (3, 3, 0)
    item = db.get("i2")
    assert (item.title, item.columns) == ("thing 2", {"price": 2.5})
    assert db.index(KINDS[kind]()).counts.unchanged == 3
    assert [result.item_id for result in db.search(image=PICTURES[1], k=1, part="image")] == ["i1"]


@pytest.mark.parametrize(
    "value",
    [
        Image.open(io.BytesIO(PICTURES[0])),
        np.asarray(Image.open(io.BytesIO(PICTURES[0]))),
        [bytearray(PICTURES[0])],
        {"bytes": PICTURES[0], "path": None},
        Path("picture.png"),
        "picture.png",
    ],
    ids=["Pillow", "array", "bytes", "datasets form", "Path", "text"],
)
def test_a_picture_may_be_any_of_these(tmp_path: Path, value: object) -> None:
    (tmp_path / "picture.png").write_bytes(PICTURES[0])
    db = open_db(tmp_path)
    report = db.add([{"item_id": "a", "images": value}], root=tmp_path)
    assert (report.counts.pictures, report.reasons) == (1, {})


def test_a_dataset_gives_its_pictures_as_stored_and_the_names_of_its_labels(tmp_path: Path) -> None:
    pictures = [opened(row) for row in ROWS[:2]]
    rows = datasets.Dataset.from_dict(
        {"item_id": ["a", "b"], "images": pictures, "kind_of_it": [1, 0]}, features=FEATURES
    )
    db = open_db(tmp_path)
    assert db.index(rows.select([1, 0])).counts.pictures == 2
    assert db.get("a").columns == {"kind_of_it": "shoe"}
    with pytest.raises(CatalogError, match=r"several splits; give one of them, such as rows\['train'\]"):
        db.index(datasets.DatasetDict({"train": rows}))


def test_add_touches_no_other_item(tmp_path: Path) -> None:
    db = open_db(tmp_path)
    db.index(ROWS)
    report = db.add([{**ROWS[1], "price": 9.0}, {"item_id": "new", "title": "a new thing"}])
    assert (report.counts.encoded, report.counts.refreshed, report.counts.pruned) == (1, 1, 0)
    assert (db.count(), db.get("i1").columns["price"], db.get("i0").columns["price"]) == (4, 9.0, 0.5)


def test_add_changes_no_column_types_by_itself(tmp_path: Path) -> None:
    db = open_db(tmp_path)
    db.index([{"item_id": "a", "title": "a", "size": "12"}, {"item_id": "b", "title": "b", "size": "M"}])
    db.remove(["b"])
    assert db.add([{"item_id": "c", "title": "c", "size": "14"}]).type_changes == ()
    assert db.get("c").columns["size"] == "14"
    options = CatalogOptions(types={"size": "number"})
    (change,) = db.add([{"item_id": "c", "title": "c", "size": "14"}], options=options).type_changes
    assert (change.column, change.after, db.get("a").columns["size"]) == ("size", "number", 12.0)


def test_local_pictures_must_be_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.png").write_bytes(PICTURES[0])
    db = open_db(tmp_path)
    report = db.add([{"item_id": "a", "title": "x", "images": str(tmp_path / "outside.png")}], root=tmp_path / "inside")
    assert report.reasons == {"forbidden": 1}


def test_a_retry_needs_the_rows_again(tmp_path: Path) -> None:
    db = open_db(tmp_path)
    db.add([{"item_id": "a", "title": "x", "images": "later.png"}], root=tmp_path)
    with pytest.raises(
        CatalogError, match=r"1 failed items came from rows in memory, which are gone; .*db\.retry\(rows\)"
    ):
        db.indexing.retry()
    (tmp_path / "later.png").write_bytes(PICTURES[0])
    (report,) = db.indexing.retry([{"item_id": "a", "title": "x", "images": "later.png"}], root=tmp_path)
    assert report.counts.pictures == 1
    assert db.indexing.failures() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            lambda: iter(ROWS),
            r"a list_iterator can be read only once, but rows are read twice; give a list: list\(rows\)",
        ),
        (lambda: (row for row in ROWS), "a generator can be read only once"),
        (lambda: ROWS[0], r"rows cannot be one dict; give a list of dicts"),
        (lambda: 5, "rows of type int cannot be indexed; give a file or folder, a list of dicts"),
        (lambda: ["a"], "row 1: of type str, not a dict"),
        (lambda: [{1: "a"}], "row 1: the column name 1 is not text"),
        (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'; rename one"),
        (lambda: [], "rows in memory has no rows"),
    ],
)
def test_other_rows_are_refused_with_a_remedy(tmp_path: Path, rows: Callable[[], Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        open_db(tmp_path).index(rows())


def test_a_root_is_only_for_rows(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="root is for rows in memory"):
        open_db(tmp_path).index(tmp_path, root=tmp_path)


def test_values_of_other_libraries_become_plain_ones() -> None:
    number = uuid.uuid4()
    row = {
        "nan": float("nan"), "nat": pd.NaT, "na": pd.NA, "np": np.int64(3), "flag": np.bool_(True),
        "time": pd.Timestamp("2024-05-01T08:00:00.123456789"), "np_time": np.datetime64("2024-05-01"),
        "long": timedelta(minutes=1), "id": number, "tags": {"b", "a"}, "vector": np.zeros(512), "object": object(),
        "nested": [{"x": np.float32(1.5)}], "raw": b"abc",
    }  # fmt: skip
    source = source_of_rows([row])
    ((_, read),) = source.rows()
    assert isinstance(read, dict)
    assert [read[name] for name in ("nan", "nat", "na", "vector", "object", "raw")] == [None] * 6
    assert (read["np"], read["flag"], read["long"], read["id"]) == (3, True, 60.0, str(number))
    assert (read["tags"], read["nested"]) == (["a", "b"], [{"x": 1.5}])
    assert str(read["time"]) == "2024-05-01 08:00:00.123456"
    assert str(read["np_time"]).startswith("2024-05-01")
    assert list(source.notes) == [
        "column 'vector': lists of more than 32 numbers are left out (1 value)",
        "column 'object': values of type object are left out (1 value)",
        "column 'raw': binary data other than pictures and videos is left out (1 value)",
    ]


def test_events_are_added_from_rows_too(tmp_path: Path) -> None:
    db = open_db(tmp_path)
    db.index(ROWS)
    events = [{"user_id": "u", "item_id": "i1", "timestamp": "2026-05-01T12:00:00Z"}]
    assert db.events.add(events).added == 1
    assert db.events.add(pd.DataFrame(events)).added == 0
    later = pl.DataFrame(events).with_columns(timestamp=pl.lit("2026-05-02").str.to_datetime("%Y-%m-%d"))
    assert db.events.add(later).added == 1
