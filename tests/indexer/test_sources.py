"""Readers of catalogues: each format, and errors with their place."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.formats.json_document import JsonSource
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow, Row


def read(path: Path, **how: Any) -> list[tuple[int, Row | BadRow]]:
    return list(open_source(str(path), **how).rows())


def good(path: Path, **how: Any) -> list[dict[str, object]]:
    rows = [row for _, row in read(path, **how)]
    assert not any(isinstance(row, BadRow) for row in rows)
    return [dict(row) for row in rows if not isinstance(row, BadRow)]


def bad(path: Path, **how: Any) -> dict[int, str]:
    return {place: str(row) for place, row in read(path, **how) if isinstance(row, BadRow)}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---- formats


def test_a_csv_gives_its_rows_with_their_lines_and_empty_cells_as_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id,title\na,"two\nlines"\n\nb,\n')
    assert read(path) == [(2, {"item_id": "a", "title": "two\nlines"}), (5, {"item_id": "b", "title": None})]


def test_a_tsv_is_split_at_tabs_alone(tmp_path: Path) -> None:
    assert good(write(tmp_path / "c.tsv", "item_id\ttitle\na\tred, blue\n")) == [{"item_id": "a", "title": "red, blue"}]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_csv_that_has_semicolons_or_tabs_for_commas_is_read_too(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path / "c.csv", f"item_id{mark}title\na{mark}red, blue\n")
    assert good(path) == [{"item_id": "a", "title": "red, blue"}]


def test_json_lines_give_their_objects_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"item_id": "a", "images": ["x", "y"]}\n\n{"item_id": 7, "new": null}\n')
    assert read(path) == [(1, {"item_id": "a", "images": ["x", "y"]}), (3, {"item_id": 7, "new": None})]


def test_parquet_gives_native_values_with_row_numbers(tmp_path: Path) -> None:
    when = datetime(2026, 5, 1, tzinfo=UTC)
    table = pa.table({"item_id": ["a", "b"], "images": [["x"], None], "when": [when, None], "price": [1.5, None]})
    pq.write_table(table, tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet") == [
        (1, {"item_id": "a", "images": ["x"], "when": when, "price": 1.5}),
        (2, {"item_id": "b", "images": None, "when": None, "price": None}),
    ]


def test_standard_input_is_json_lines_that_can_be_read_twice() -> None:
    source = open_source("-", stdin=io.BytesIO(b'{"item_id": "a"}\n'))
    assert list(source.rows()) == list(source.rows()) == [(1, {"item_id": "a"})]
    assert (source.name, source.root) == ("standard input", Path.cwd())


def test_the_copy_of_standard_input_is_removed_with_its_source() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python 3.13 warns about unclosed temporary files
        source = open_source("-", stdin=io.BytesIO(b'{"item_id": "a"}\n'))
        assert isinstance(source, JsonSource)
        copy = source.path
        assert copy.exists()
        del source
        gc.collect()
    assert not copy.exists()


# ---- wrong files


def test_the_error_for_a_missing_file_lists_the_formats() -> None:
    with pytest.raises(CatalogError, match=r"no file or folder 'nowhere\.csv'; give \.csv"):
        open_source("nowhere.csv")


def test_the_error_for_an_unknown_format_lists_the_formats(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"binary, of no known format; give \.csv, \.tsv, \.xlsx, \.json"):
        open_source(str(write(tmp_path / "c.dat", b"\x00\x01\xfe" * 100)))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.csv")
    with pytest.raises(CatalogError, match="a pipe or a device"):
        open_source(str(tmp_path / "c.csv"))


def test_an_empty_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"c\.csv is empty; its first line must name the columns"):
        read(write(tmp_path / "c.csv", ""))


def test_a_csv_column_without_a_name_is_called_by_its_position_if_it_has_values(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,,title,\na,,tea,\nb,7,cup,\n")
    assert good(path) == [{"item_id": "a", "title": "tea"}, {"item_id": "b", "column_2": "7", "title": "cup"}]


@pytest.mark.parametrize("name", ["c.csv", "c.parquet"])
def test_two_columns_with_one_name_are_refused(tmp_path: Path, name: str) -> None:
    if name == "c.csv":
        write(tmp_path / name, "item_id,price,price\n")
    else:
        column = pa.array(["a"])
        pq.write_table(pa.Table.from_arrays([column] * 3, names=["item_id", "price", "price"]), tmp_path / name)
    with pytest.raises(CatalogError, match="columns are called 'price'; rename"):
        read(tmp_path / name)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="not a readable Parquet file"):
        read(write(tmp_path / "c.parquet", b"PAR1 not really"))


def test_a_parquet_time_out_of_range_is_read_as_empty_and_noted(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a"], "t": pa.array([2**62], pa.timestamp("us"))}), tmp_path / "c.parquet")
    source = open_source(str(tmp_path / "c.parquet"))
    assert list(source.rows()) == [(1, {"item_id": "a", "t": None})]
    assert list(source.notes) == ["column 't': times outside the years 1 to 9999 are read as empty (1 value)"]


# ---- wrong encodings


def test_a_byte_that_is_not_utf_8_is_reported_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,title\na,tea\nb,caf\xe9\n".encode("latin-1"))
    with pytest.raises(CatalogError, match=r"line 3: byte 0xe9 is not utf-8; .*--encoding latin-1"):
        read(path)


def test_a_named_encoding_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,price\na,5 €\n".encode("cp1252"))
    assert good(path, encoding="cp1252") == [{"item_id": "a", "price": "5 €"}]


def test_utf_16_is_recognised_by_its_first_bytes(tmp_path: Path) -> None:
    assert good(write(tmp_path / "c.csv", "item_id\na\n".encode("utf-16"))) == [{"item_id": "a"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_wide_encodings_are_read_by_any_of_their_names(tmp_path: Path, encoding: str, name: str) -> None:
    text = 'item_id\n"ਊ"\n' if name == "c.csv" else '{"item_id": "ਊ"}\n'  # U+0A0A: two newline bytes in UTF-16
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    assert good(write(tmp_path / name, (mark + text).encode(encoding)), encoding=encoding) == [{"item_id": "ਊ"}]


def test_a_wrong_wide_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is not utf-16"):
        read(write(tmp_path / "c.csv", "item_id\na\n"), encoding="utf-16")


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path, name: str) -> None:
    text = b"item_id\na\n" if name == "c.csv" else b'{"item_id": "a"}\n'
    assert good(write(tmp_path / name, b"\xef\xbb\xbf" + text)) == [{"item_id": "a"}]


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "undefined"])
def test_the_error_for_an_unknown_encoding_suggests_others(encoding: str) -> None:
    with pytest.raises(CatalogError, match=f"encoding '{encoding}' is unknown; try utf-8, latin-1"):
        open_source("-", encoding=encoding)


# ---- unreadable rows


def test_a_ragged_csv_row_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,title\na,x,y\nb,fine\nc\n")
    assert bad(path) == {
        2: "3 cells, but the header has 2 columns",
        4: "1 cells, but the header has 2 columns",
    }


def test_an_open_quote_is_reported_with_its_first_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id,title\na,fine\nb,"never\nc,ends\n')
    assert list(bad(path)) == [3]
    assert bad(path)[3].startswith("not well-formed CSV (a quote that opens in this row is not closed")
    assert read(path)[-1] == (4, {"item_id": "c", "title": "ends"})


def test_rows_after_a_malformed_csv_row_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id,title\na,"x"y\nb,fine\n')
    assert list(bad(path)) == [2]
    assert read(path)[-1] == (3, {"item_id": "b", "title": "fine"})


@pytest.mark.parametrize(
    "line",
    [
        '{"item_id": ',
        "[1]",
        "7",
        '"text"',
        "null",
        "nonsense",
        "[" * 100_000,
        '{"a": ' * 100_000,
        '{"n": ' + "1" * 5000,
    ],
    ids=lambda line: line[:12],
)
def test_a_line_that_is_not_a_json_object_is_a_bad_row(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "c.jsonl", f'{{"item_id": "a"}}\n{line}\n{{"item_id": "b"}}\n')
    assert list(bad(path)) == [2]
    assert len(read(path)) == 3


def test_half_an_emoji_in_json_becomes_a_replacement_character(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", r'{"title": "cut \ud83d", "whole": "\ud83d\ude00", "low": "\uDE00 x"}' + "\n")
    assert good(path) == [{"title": "cut \ufffd", "whole": "😀", "low": "\ufffd x"}]


# ---- round trips

cells = st.text(st.characters(codec="utf-8"), max_size=20)


@given(rows=st.lists(st.tuples(cells, cells, cells).filter(any), min_size=1, max_size=20))
def test_whatever_the_csv_module_writes_is_read_back(
    rows: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "price"])
        writer.writerows(rows)
    assert [tuple(row.values()) for row in good(path)] == [tuple(cell or None for cell in row) for row in rows]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@given(rows=st.lists(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=4), max_size=8))
@pytest.mark.parametrize("ascii_only", [True, False])
def test_whatever_the_json_module_writes_is_read_back(
    rows: list[dict[str, object]], ascii_only: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows), encoding="utf-8")
    assert good(path) == rows
