"""Change of the type of a stored column: values, indexes, readers, kills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lancedb.index import BTree
from lancedb.table import LanceTable

from firstsight.errors import StoreError
from firstsight.storage.column_conversion import (
    Misfits,
    chosen_kinds,
    convert_column,
    drop_unfinished_conversion,
    find_misfits,
    note_chosen,
)
from firstsight.storage.columns import ColumnKind, reinterpret
from firstsight.storage.indexes.text_index import index_texts
from firstsight.storage.recovery import recover
from firstsight.storage.snapshots import name_snapshot, open_snapshot
from firstsight.storage.store import Store
from firstsight.storage.tables import CONVERSION_COLUMNS
from firstsight.vectors import EncoderSpec

NAME = "net, price '€'"
NOW = datetime(2026, 5, 1, tzinfo=UTC)

TEXTS = [
    *(
        "5",
        "+5",
        "-3.5",
        "1e3",
        "0.1",
        "007",
        " 12 ",
        ".5",
        "5.",
        "nan",
        "inf",
        "1e400",
        "cheap",
        "0x10",
        "1_000",
        "\t5",
    ),
    *(str(2**53 + 1), str(2**53 - 1), "1e20", "٣", "５", "", " ", "it's", "True", " yes", "NO", "1", "0"),
    *("2024-05-01", "2024-05-01T12:00", "2024-05-01 12:00:00.5", "2024-05-01T12:00:00Z", "2024-05-01T12:00+02:00"),
    *("0001-01-01", "9999-12-31T23:59:59", "2024-02-30", "2024-05-01T24:00:00", "20240501", "2024-05-01T12:00z"),
]


def make_store(folder: Path, kind: ColumnKind, values: Sequence[object]) -> Store:
    """A database with one item for each value."""
    store = Store.create(folder / "db", EncoderSpec("colours", 4, 32, "c0105"))
    store.add_columns({NAME: kind, "other": "text"})
    rows: list[dict[str, Any]] = [
        {
            **{"item_id": f"i{n}", "kind": "product", "title": f"thing {n}", "vector": [1.0, 0.0, 0.0, 0.0]},
            **{"digest": "d", "row_digest": "r", "catalog_dir": "", "indexed_at": NOW, "run_id": "run"},
            **{NAME: value, "other": "kept"},
        }
        for n, value in enumerate(values)
    ]
    with store.writing():
        store.write_items(rows)
    return store


def column(store: Store, name: str = NAME) -> list[object]:
    """Values in the order of the items."""
    rows = store.items.search().select(["item_id", name]).limit(None).to_list()
    return [row[name] for row in sorted(rows, key=lambda row: int(row["item_id"][1:]))]


@pytest.mark.parametrize("kind", ["number", "flag", "time"])
def test_a_text_column_is_converted_as_single_values_are(tmp_path: Path, kind: ColumnKind) -> None:
    store = make_store(tmp_path, "text", TEXTS)
    misfits = find_misfits(store, NAME, lambda value: reinterpret(value, kind) is not None)
    with store.writing():
        convert_column(store, NAME, kind, misfits=misfits.count)
    assert store.column_kinds() == {NAME: kind, "other": "text"}
    assert column(store) == [reinterpret(text, kind) for text in TEXTS]


@given(texts=st.lists(st.text("0123456789+-.eE_ xT:Z", max_size=12), min_size=1, max_size=200))
@settings(max_examples=15, deadline=None)
def test_sql_and_python_agree_about_numbers(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    store = make_store(tmp_path_factory.mktemp("store"), "text", texts)
    with store.writing():
        convert_column(store, NAME, "number", misfits=len(texts))
    assert column(store) == [reinterpret(text, "number") for text in texts]


@pytest.mark.parametrize(
    ("before", "after", "values", "converted"),
    [
        ("number", "text", [52.0, 52.5, -0.0, 1e6, None], ["52", "52.5", "0", "1000000", None]),
        ("number", "flag", [1.0, 0.0, 2.0, None], [True, False, None, None]),
        ("number", "time", [1.0], [None]),
        ("flag", "text", [True, False, None], ["true", "false", None]),
        ("flag", "number", [True], [None]),
        ("time", "text", [NOW, None], ["2026-05-01T00:00:00Z", None]),
        ("time", "number", [NOW], [None]),
    ],
)
def test_other_columns_are_converted(
    tmp_path: Path, before: ColumnKind, after: ColumnKind, values: list[object], converted: list[object]
) -> None:
    store = make_store(tmp_path, before, values)
    with store.writing():
        convert_column(store, NAME, after, misfits=len(values))
    assert column(store) == converted


def test_values_that_do_not_fit_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path, "text", ["1", "ask", None, "ask", "ask"])

    def fits(value: object) -> bool:
        return value == "1"

    assert find_misfits(store, NAME, fits) == Misfits(3, 0, "i1", "ask")
    assert find_misfits(store, NAME, fits, first_only=True).count == 1
    assert find_misfits(store, NAME, fits, replaced=lambda ids: {"i1", "i4"} & set(ids)) == Misfits(1, 2, "i3", "ask")
    assert find_misfits(store, NAME, lambda value: True) == Misfits()


def test_a_conversion_that_would_lose_more_values_than_expected_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, "text", ["1", "ask", "ask"])
    with (
        store.writing(),
        pytest.raises(StoreError, match="keeps its type text: 2 values would be lost as number, 1 were"),
    ):
        convert_column(store, NAME, "number", misfits=1)
    assert column(store) == ["1", "ask", "ask"]
    assert not set(CONVERSION_COLUMNS) & set(store.items.schema.names)


def test_indexes_of_other_columns_stay_and_no_row_leaves_them(tmp_path: Path) -> None:
    store = make_store(tmp_path, "text", ["1", "2", "3"])
    with store.writing():
        index_texts(store)
        store.items.create_index("item_id", config=BTree())
        before = [(index.name, index.num_unindexed_rows) for index in store.items.list_indices()]
        convert_column(store, NAME, "number")
    assert [(index.name, index.num_unindexed_rows) for index in store.items.list_indices()] == before
    assert [rows for _, rows in before] == [0] * len(before)


def test_a_reader_of_an_earlier_version_keeps_the_old_type(tmp_path: Path) -> None:
    store = make_store(tmp_path, "text", ["1", "2"])
    token = name_snapshot(store)
    reader = Store.open(store.uri)
    with store.writing():
        convert_column(store, NAME, "number")
        store.write_items([store.item_rows(["i0"])["i0"] | {NAME: 7.0}])
    earlier = open_snapshot(Store.open(store.uri), token)
    assert column(earlier) == ["1", "2"]
    assert column(reader) == ["1", "2"]
    reader.refresh()
    assert column(reader) == [7.0, 2.0]


class KilledError(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("step", ["add_columns", "alter_columns", "drop_columns"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_conversion_is_repaired_by_the_next_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    store = make_store(tmp_path, "text", ["1", "ask"])
    work = getattr(LanceTable, step)

    def killed(table: LanceTable, *arguments: Any) -> None:
        if when == "after":
            work(table, *arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(LanceTable, step, killed)
        with store.writing(), pytest.raises(KilledError):
            convert_column(store, NAME, "number", misfits=1)
    reader = Store.open(store.uri)
    exchanged = (step, when) in {("alter_columns", "after"), ("drop_columns", "before"), ("drop_columns", "after")}
    expected = [1.0, None] if exchanged else ["1", "ask"]
    assert column(reader) == expected
    assert set(reader.column_kinds()) == {NAME, "other"}
    with reader.writing():
        recover(reader)
    assert column(reader) == expected
    assert not set(CONVERSION_COLUMNS) & set(reader.items.schema.names)
    with reader.writing():
        convert_column(reader, NAME, "number", misfits=1)
    assert column(reader) == [1.0, None]


def test_a_choice_is_kept_with_the_column_and_survives_its_conversion(tmp_path: Path) -> None:
    store = make_store(tmp_path, "text", ["1"])
    with store.writing():
        note_chosen(store, [NAME, "no such column"])
        note_chosen(store, [NAME])
        assert chosen_kinds(Store.open(store.uri)) == {NAME}
        convert_column(store, NAME, "number")
        drop_unfinished_conversion(store)
    assert chosen_kinds(Store.open(store.uri)) == {NAME}
    assert column(store) == [1.0]
