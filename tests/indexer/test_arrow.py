"""Parquet and Arrow: every type gives a usable value, and one value never refuses the file."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import EmbeddedMedium
from firstsight.indexer.inputs.python_rows import source_of_rows
from tests.indexer.shop import picture

NS = pa.timestamp("ns")
FORM = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def values(array: pa.Array[Any], notes: list[str] | None = None) -> list[Any]:
    """The values that rows have for a column."""
    source = source_of_rows(pa.Table.from_arrays([array], names=["c"]))
    read = [row["c"] for _, row in source.rows() if isinstance(row, dict)]
    if notes is not None:
        notes.extend(source.notes)
    return read


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1714550400123456789, None], NS), [datetime(2024, 5, 1, 8, 0, 0, 123457), None]),
        (pa.array([1], pa.timestamp("s", "Europe/Berlin")), [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]),
        (pa.array([1], pa.timestamp("s", "Nowhere/Atall")), [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]),
        (pa.array([-1], NS), [datetime(1970, 1, 1)]),
        (pa.array([86_400_000], pa.date64()), [date(1970, 1, 2)]),
        (pa.array([5], pa.time32("s")), [time(0, 0, 5)]),
        (pa.array([86_399_999_999_999], pa.time64("ns")), [time(23, 59, 59, 999_999)]),
        (pa.array([1_500_000_000, None], pa.duration("ns")), [1.5, None]),
        (pa.array(["red", "red", None]).dictionary_encode(), ["red", "red", None]),
        (pa.array([Decimal("1.50")], pa.decimal256(9, 2)), [Decimal("1.50")]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array([["a"], None, []], pa.list_view(pa.string())), [["a"], None, []]),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [[1, 2]]),
        (pa.array([[("k", 1), ("l", 2)], None], pa.map_(pa.string(), pa.int64())), [{"k": 1, "l": 2}, None]),
        (pa.array([{"a": [1]}, None], pa.struct([("a", pa.list_(NS))])), [{"a": [datetime(1970, 1, 1)]}, None]),
        (pa.array([np.float16(1.5)], pa.float16()), [1.5]),
        (pa.nulls(1), [None]),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 16], pa.binary(16))),
            [f"{'0' * 8}-0000-0000-0000-{'0' * 12}"],
        ),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["q"])), ["q", "q"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_each_type_gives_python_values(array: pa.Array[Any], expected: list[Any]) -> None:
    assert values(array) == expected
    assert values(pa.concat_arrays([array, array]).slice(len(array)) if _joins(array) else array) == expected


def _joins(array: pa.Array[Any]) -> bool:
    return not pa.types.is_run_end_encoded(array.type) and not isinstance(array.type, pa.BaseExtensionType)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.sampled_from(["s", "ms", "us", "ns"]))
def test_any_timestamp_is_read_or_noted(numbers: list[int], unit: Any) -> None:
    notes: list[str] = []
    read = values(pa.array(numbers, pa.timestamp(unit)), notes)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    for number, value in zip(numbers, read, strict=True):
        if value is not None:
            seconds = (value - datetime(1970, 1, 1)).total_seconds()
            assert abs(seconds - number / per_second) < 1e-4
    assert bool(notes) == (None in read)


def test_a_far_time_empties_only_its_own_cell() -> None:
    notes: list[str] = []
    assert values(pa.array([253402300800, 0], pa.timestamp("s")), notes) == [None, datetime(1970, 1, 1)]
    assert values(pa.array([10**8, 0], pa.date32()), notes) == [None, date(1970, 1, 1)]
    assert notes == ["column 'c': times outside the years 1 to 9999 are read as empty (1 value)"] * 2


def test_spark_times_of_the_year_9999_are_not_turned_into_others(tmp_path: Path) -> None:
    table = pa.table({"item_id": ["a"], "t": pa.array([253402214400], pa.timestamp("s"))})
    pq.write_table(table, tmp_path / "c.parquet", use_deprecated_int96_timestamps=True, coerce_timestamps=None)
    (row,) = (row for _, row in open_source(str(tmp_path / "c.parquet")).rows() if isinstance(row, dict))
    assert row["t"] == datetime(9999, 12, 31)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[0.5] * 512], pa.list_(pa.float32(), 512)),
        pa.array([[0.5] * 33], pa.list_(pa.float64())),
        pa.array([[[1] * 8] * 8], pa.list_(pa.list_(pa.uint8()))),
    ],
)
def test_embeddings_and_pixels_are_left_out_with_a_note(array: pa.Array[Any]) -> None:
    notes: list[str] = []
    assert values(array, notes) == [None]
    assert notes == ["column 'c': lists of more than 32 numbers are left out (1 value)"]


def test_bytes_anywhere_are_pictures_or_left_out() -> None:
    png = picture(1)
    assert values(pa.array([{"bytes": png, "path": "a.png"}, {"bytes": None, "path": "b.png"}, None], FORM)) == [
        EmbeddedMedium(png, "a.png"),
        "b.png",
        None,
    ]
    assert values(pa.array([{"data": png, "filename": "a"}])) == [EmbeddedMedium(png, "a")]
    assert values(pa.array([[png, b"broken"]])) == [[EmbeddedMedium(png), EmbeddedMedium(b"broken")]]
    notes: list[str] = []
    assert values(pa.array([{"x": {"y": b"\xff"}}, None]), notes) == [{"x": None}, None]
    assert values(pa.array([b"abc"]), notes) == [None]
    assert notes == ["column 'c': binary data other than pictures and videos is left out (1 value)"] * 2


def test_texts_that_are_not_utf_8_do_not_refuse_the_file() -> None:
    array = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"]).buffers())
    notes: list[str] = []
    assert values(array, notes) == ["caf�"]
    assert notes == ["column 'c': texts that are not UTF-8 have a � for each wrong byte (1 value)"]


@pytest.mark.parametrize("ending", [".arrow", ".feather", ".arrows"])
def test_arrow_files_and_streams_are_told_apart_by_their_content(tmp_path: Path, ending: str) -> None:
    table = pa.table({"item_id": ["a", "b"], "__index_level_0__": [1, 2]})
    path = tmp_path / f"c{ending}"
    new = pa.ipc.new_stream if ending == ".arrows" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table)
    assert list(open_source(str(path)).rows()) == [(1, {"item_id": "a"}), (2, {"item_id": "b"})]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CatalogError, match="not a readable Arrow file"):
        list(open_source(str(path)).rows())


def test_two_columns_of_one_name_are_refused_in_arrow_files_too(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["a", "a"])
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(CatalogError, match="2 columns are called 'a'; rename all but one"):
        list(open_source(str(tmp_path / "c.arrow")).rows())


def test_a_folder_of_part_files_is_one_table(tmp_path: Path) -> None:
    for brand, ids in (("oak", ["a", "b"]), ("__HIVE_DEFAULT_PARTITION__", ["c"])):
        (tmp_path / f"brand={brand}").mkdir()
        pq.write_table(pa.table({"item_id": ids}), tmp_path / f"brand={brand}" / "part-0.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "README.md").touch()
    source = open_source(str(tmp_path))
    assert sorted(str(row) for _, row in source.rows()) == [
        "{'brand': 'oak', 'item_id': 'a'}",
        "{'brand': 'oak', 'item_id': 'b'}",
        "{'brand': None, 'item_id': 'c'}",
    ]
    assert (source.format, source.root) == ("table of 2 files", tmp_path)
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(CatalogError, match="is a Delta table"):
        open_source(str(tmp_path))


def test_a_folder_with_a_picture_stays_a_folder_of_pictures(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.jpg").touch()
    assert open_source(str(tmp_path)).format == "folder"
