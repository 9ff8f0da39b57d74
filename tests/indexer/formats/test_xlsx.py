"""XLSX workbooks."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from firstsight.errors import CatalogError, OptionalDependencyError
from firstsight.indexer.formats import xlsx_file
from tests.indexer.formats.reading import bad_rows, notes, numbers, rows, write


def book(path: Path, *sheets: Sequence[Sequence[object]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook["Sheet"])
    for number, sheet in enumerate(sheets, 1):
        made = workbook.create_sheet(f"S{number}")
        for row in sheet:
            made.append(list(row))
    workbook.save(path)
    return path


def test_values_keep_their_types(tmp_path: Path) -> None:
    when = dt.datetime(2026, 5, 1, 12, 30)
    values = ["007", 7.0, 7.5, True, when, dt.time(8, 0), "  ", 123456789012]
    path = book(tmp_path / "c.xlsx", [["item_id", "a", "b", "c", "d", "e", "f", "g"], values])
    assert list(rows(path)[0].values()) == ["007", 7, 7.5, True, when, "08:00:00", None, 123456789012]
    assert isinstance(rows(path)[0]["a"], int)


def test_blank_rows_and_a_title_above_the_header_are_skipped(tmp_path: Path) -> None:
    path = book(
        tmp_path / "c.xlsx",
        [[], ["Products of 2026"], [], ["item_id", "title", "price"], ["a", "tea", 1], [None, None, " "], ["b"]],
    )
    assert rows(path) == [
        {"item_id": "a", "title": "tea", "price": 1},
        {"item_id": "b", "title": None, "price": None},
    ]
    assert numbers(path) == [5, 7]
    assert notes(path) == ["the header is row 4 of sheet 'S1'; the rows above it are left out"]


def test_the_first_sheet_with_values_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [], [["item_id"], ["a"]], [["other"], ["b"]])
    assert rows(path) == [{"item_id": "a"}]
    assert notes(path) == ["sheet 'S2' is read; other sheets are left out: 'S1', 'S3'"]


def test_a_hidden_sheet_is_read_last(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["secret"], ["b"]], [["item_id"], ["a"]])
    workbook = openpyxl.load_workbook(path)
    workbook["S1"].sheet_state = "hidden"
    workbook.save(path)
    assert rows(path) == [{"item_id": "a"}]


def test_errors_in_cells_count_as_empty(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id", "title"], ["a", "#N/A"]])
    assert rows(path) == [{"item_id": "a", "title": None}]
    assert notes(path) == ["1 cells of sheet 'S1' have errors such as #N/A; they count as empty"]


def test_a_column_without_a_name_is_named_if_it_has_values(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id", None, "title"], ["a", 5, "tea"], ["b", None, "cup"]])
    assert rows(path) == [{"item_id": "a", "column_2": 5, "title": "tea"}, {"item_id": "b", "title": "cup"}]


def test_a_value_beyond_the_header_is_a_bad_row(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id", "title"], ["a", "tea", None, "x"], ["b", "cup"]])
    assert bad_rows(path) == {2: "a value in column 4, but the header has 2 columns"}


def test_formulas_give_their_saved_values(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id", "price"], ["a", "=1+1"]])
    assert rows(path) == [{"item_id": "a", "price": None}]  # openpyxl saves no values
    with_value = replace(path, "xl/worksheets/sheet1.xml", b"<v></v>", b"<v>2</v>", b"<v />", b"<v>2</v>")
    assert rows(with_value) == [{"item_id": "a", "price": 2}]


def replace(path: Path, member: str, *changes: bytes) -> Path:
    """Copy a workbook with changes (before, after, before, after, …) in one of its parts."""
    copy = path.with_name("changed.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            for before, after in zip(changes[::2], changes[1::2], strict=True):
                content = content.replace(before, after) if name == member else content
            new.writestr(name, content)
    return copy


def test_a_wrong_dimension_does_not_cut_the_sheet(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id", "title"], ["a", "tea"], ["b", "cup"]])
    changed = replace(path, "xl/worksheets/sheet1.xml", b'ref="A1:B3"', b'ref="A1"')
    assert [row["title"] for row in rows(changed)] == ["tea", "cup"]


def test_an_empty_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="has no sheet with values"):
        rows(book(tmp_path / "c.xlsx", []))


def test_a_damaged_workbook_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id"], ["a"]])
    with pytest.raises(CatalogError, match="not a readable XLSX workbook"):
        rows(replace(path, "xl/worksheets/sheet1.xml", b"<row", b"<rwo"))
    with pytest.raises(CatalogError, match="damaged"):
        rows(write(tmp_path / "cut.xlsx", path.read_bytes()[:-100]))


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id"], ["a"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'firstsight\[xlsx\]'"):
        rows(path)


# ---- attacks


def test_entities_in_a_workbook_are_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id"], ["a"]])
    laughs = b'<!DOCTYPE worksheet [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><worksheet'
    with pytest.raises(CatalogError, match="not a readable XLSX workbook"):
        rows(replace(path, "xl/worksheets/sheet1.xml", b"<worksheet", laughs))


def bomb(path: Path, member: str, start: bytes, unit: bytes, size: int) -> Path:
    """A workbook with one part that grows to `size` bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        with archive.open(member, "w") as part:
            part.write(start)
            for _ in range(size >> 20):
                part.write(unit * ((1 << 20) // len(unit)))
    return write(path, content.getvalue())


@pytest.mark.parametrize(
    ("member", "limit", "what"),
    [
        ("xl/sharedStrings.xml", "MAX_IN_MEMORY", "its texts"),
        ("xl/worksheets/sheet1.xml", "MAX_ROW", "a row"),
        ("xl/media/image1.png", "MAX_UNPACKED", "it"),
    ],
)
def test_a_workbook_that_grows_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, limit: str, what: str
) -> None:
    monkeypatch.setattr(xlsx_file, limit, 4 << 20)
    with pytest.raises(CatalogError, match=f"too large: after decompression {what} would take more than 4 MiB"):
        rows(bomb(tmp_path / "c.xlsx", member, b"<x><row>", b"<c>1</c>", 8 << 20))


def test_a_long_sheet_of_short_rows_is_not_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "MAX_ROW", 1 << 20)
    xlsx_file.check_size(bomb(tmp_path / "c.xlsx", "xl/worksheets/sheet1.xml", b"", b"<row></row>", 4 << 20), "c")


def test_a_cell_in_the_last_row_of_excel_ends_quickly(tmp_path: Path) -> None:
    path = book(tmp_path / "c.xlsx", [["item_id"], ["a"]])
    changed = replace(path, "xl/worksheets/sheet1.xml", b'r="2"', b'r="999999999"', b'r="A2"', b'r="A999999999"')
    assert rows(changed) == []
