"""CSV as spreadsheets write it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.formats.csv_file import TableHeader
from firstsight.indexer.formats.parsing.csv_records import CsvRecords
from firstsight.indexer.formats.source import MAX_COLUMNS
from tests.indexer.formats.reading import bad_rows, notes, numbers, rows, write


@pytest.mark.parametrize("first", ["sep=;", "sep=;\r", '"sep=;"', "SEP=;", "sep=;;;", "\ufeffsep=;"])
def test_a_line_that_names_the_separator_is_followed(tmp_path: Path, first: str) -> None:
    path = write(tmp_path / "c.csv", f"{first}\nitem_id;a,b,c\nx;1,5\n")
    assert rows(path) == [{"item_id": "x", "a,b,c": "1,5"}]
    assert numbers(path) == [3]


def test_a_separator_line_can_name_a_tab(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "c.csv", "sep=\t\nitem_id\ta,b\nx\ty\n")) == [{"item_id": "x", "a,b": "y"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_ends_are_read_with_the_right_lines(tmp_path: Path, end: str) -> None:
    path = write(tmp_path / "c.csv", end.join(["item_id,title", "a,tea", "", 'b,"two', 'lines"', "c,cup", ""]))
    assert [row["item_id"] for row in rows(path)] == ["a", "b", "c"]
    assert numbers(path) == [2, 4, 6]


def test_line_ends_can_be_mixed(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,title\ra,1\r\nb,2\nc,3\r")
    assert [tuple(row.values()) for row in rows(path)] == [("a", "1"), ("b", "2"), ("c", "3")]
    assert numbers(path) == [2, 3, 4]


def test_a_quoted_delimiter_in_the_header_does_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id;"weight, kg, net";"a\n,,,b"\nx;1;2\n')
    assert rows(path) == [{"item_id": "x", "weight, kg, net": "1", "a\n,,,b": "2"}]


@pytest.mark.parametrize("before", ["\n\n", " \r\n", ",,\n", ";;\n\n", '"",""\n'])
def test_blank_lines_before_the_header_are_skipped(tmp_path: Path, before: str) -> None:
    assert rows(write(tmp_path / "c.csv", f"{before}item_id,title\na,tea\n")) == [{"item_id": "a", "title": "tea"}]


def test_empty_cells_at_the_end_of_lines_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,title,,\na,tea,,\nb,cup,,,,,\nc,pot\n,,,\n,\n")
    assert rows(path) == [
        {"item_id": "a", "title": "tea"},
        {"item_id": "b", "title": "cup"},
        {"item_id": "c", "title": "pot"},
    ]


def test_a_first_column_without_name_as_pandas_writes_it_is_named(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "c.csv", ",item_id\n0,a\n")) == [{"column_1": "0", "item_id": "a"}]


def test_the_given_name_of_a_column_is_new(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", ",column_1,item_id\n0,own,a\n")
    assert rows(path) == [{"column_1_": "0", "column_1": "own", "item_id": "a"}]


def test_a_value_beyond_the_header_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "item_id,title,,\na,tea,,,x\nb\n")
    assert bad_rows(path) == {
        2: "5 cells, but the header has 2 columns",
        3: "1 cells, but the header has 2 columns",
    }


@pytest.mark.parametrize("name", ["additional_image_link", "g:additional_image_link", "Additional image link"])
def test_a_column_of_more_pictures_can_repeat(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "c.tsv", f"id\t{name}\t{name}\t{name}\na\tx\t\ty\nb\t\t\t\n")
    assert rows(path) == [{"id": "a", name: ["x", "y"]}, {"id": "b", name: []}]


def test_quotes_inside_unquoted_cells_are_part_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id,title\na,27" screen\nb,a "b" c\n')
    assert [row["title"] for row in rows(path)] == ['27" screen', 'a "b" c']


def test_a_tab_separated_text_without_quoting_is_read_literally(tmp_path: Path) -> None:
    path = write(tmp_path / "c.tsv", 'id\ttitle\tcolor\na\t"Best" tea\tred\nb\t"\tblue\nc\t"x\ty"\nd\t"a\tb"\tc\n')
    found = rows(path)
    assert [(row["id"], row["title"]) for row in found[:2]] == [("a", '"Best" tea'), ("b", '"')]
    assert found[2] == {"id": "c", "title": '"x', "color": 'y"'}
    assert list(bad_rows(path)) == []


def test_a_lone_quote_in_a_csv_spoils_one_row_only(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id,title,size\na,",1\nb,"fine, too",2\nc,fine,3\n')
    (line, reason), *others = bad_rows(path).items()
    assert line == 2
    assert "quote" in reason
    assert others == []
    assert numbers(path) == [2, 3, 4]


def test_a_row_that_swallowed_lines_names_the_last_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'item_id,title,size\na,"open,1\nb,closed",2,3\nc,fine,3\n')
    assert bad_rows(path) == {
        2: "4 cells, but the header has 3 columns (the row ends in line 3; perhaps a quote in it is not closed)"
    }


@pytest.mark.parametrize("size", [140_000, 3_000_000])
def test_a_cell_can_be_megabytes_long(tmp_path: Path, size: int) -> None:
    long, lines = "x" * size, ("y" * 99 + "\n") * (size // 100)
    path = write(tmp_path / "c.csv", f'item_id,text\na,{long}\nb,"{lines}"\n')
    assert [len(str(row["text"])) for row in rows(path)] == [size, size]


def test_the_limit_of_the_csv_module_is_never_lowered(tmp_path: Path) -> None:
    before = csv.field_size_limit(2**31 - 1)
    try:
        rows(write(tmp_path / "c.csv", "item_id\na\n"))
        assert csv.field_size_limit() == 2**31 - 1
    finally:
        csv.field_size_limit(before)


def test_an_unclosed_quote_does_not_swallow_a_large_file(tmp_path: Path) -> None:
    body = "".join(f"{number},{'tea' * 300}\n" for number in range(20_000))
    path = write(tmp_path / "c.csv", f'item_id,title\nx,fine\ny,"open\n{body}')
    found = bad_rows(path)
    assert list(found) == [3]
    assert "longer than 16 MiB; perhaps a quote in this row is not closed" in found[3]


@pytest.mark.parametrize("word", ["Größe", "prix €", "naïve"])
def test_another_encoding_is_reported_with_the_text_that_cp1252_would_give(tmp_path: Path, word: str) -> None:
    text = f"item_id,title\r\na,tea\r\nb,{word}\r\n"
    with pytest.raises(CatalogError, match=re.escape("line 3: byte 0x")) as caught:
        rows(write(tmp_path / "c.csv", text.encode("cp1252")))
    assert word in str(caught.value)
    assert "--encoding" in str(caught.value)
    assert rows(tmp_path / "c.csv", "cp1252")[1]["title"] == word


def test_the_line_of_a_wrong_byte_is_right_after_a_long_start(tmp_path: Path) -> None:
    lines = [f"{number},tea é" for number in range(20_000)]
    path = write(tmp_path / "c.csv", "\r".join(["item_id,title", *lines]).encode() + b"\rz,\xff\r")
    with pytest.raises(CatalogError, match="line 20002: byte 0xff is not utf-8"):
        rows(path)


def test_a_character_cut_at_the_end_of_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="line 2: byte 0xc3 is not utf-8"):
        rows(write(tmp_path / "c.csv", b"item_id\na\xc3"))


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(100_000))
    with pytest.raises(CatalogError, match="line 1: 100,000 columns, but the maximum is 10,000"):
        rows(write(tmp_path / "c.csv", f"{header}\na\n"))
    assert TableHeader("c.csv", [f"c{number}" for number in range(MAX_COLUMNS)]).width == MAX_COLUMNS


def test_lines_that_are_quoted_as_a_whole_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="line 1: the whole line 'item_id,title' is one quoted cell; remove"):
        rows(write(tmp_path / "c.csv", '"item_id,title"\n"a,tea"\n'))


def test_a_header_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="line 1: the header is not well-formed CSV"):
        rows(write(tmp_path / "c.csv", 'item_id,"title\na,b\n'))


cells = st.text(st.characters(codec="utf-8"), max_size=12)


@given(
    table=st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width).filter(any), min_size=1, max_size=8)
    ),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_records_of_every_dialect_are_read_back(table: list[list[str]], delimiter: str, end: str, quoting: int) -> None:
    # the csv module quotes the line ends of its dialect only
    assume(quoting == csv.QUOTE_ALL or end == "\r\n" or not re.search("[\r\n]", "".join(map("".join, table))))
    header = [f"name{number}" for number in range(len(table[0]))]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([header, *table])  # type: ignore[arg-type]
    lines = iter(io.StringIO(text.getvalue(), newline=""))
    found = [record.cells for record in CsvRecords(lines)]
    assert [record for record in found if record] == [header, *table]


@given(text=st.text(st.sampled_from('ab",;\t\n\r'), max_size=60))
def test_every_text_has_an_end(text: str) -> None:
    records = list(CsvRecords(iter(io.StringIO(text, newline=""))))
    assert all(record.line <= record.last_line for record in records)
    assert [record.line for record in records] == sorted({record.line for record in records})


@pytest.mark.parametrize(
    "above",
    ["Catalogue 2026;;\n;;\n", "Catalogue 2026\n\n", '"# Required; unique";"# Required";"# Optional"\n'],
    ids=["padded title", "title", "comments"],
)
def test_a_title_and_comments_above_the_header_are_left_out_with_a_note(tmp_path: Path, above: str) -> None:
    path = write(tmp_path / "c.csv", f"{above}id;name;price\n1;A;12,50\n")
    assert rows(path) == [{"id": "1", "name": "A", "price": "12,50"}]
    line = above.count("\n") + 1
    assert notes(path) == [f"the header is line {line}; the lines above it are left out"]


def test_a_table_with_one_column_has_no_title(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "c.csv", "id\n1\n2\n")) == [{"id": "1"}, {"id": "2"}]
    assert rows(write(tmp_path / "d.csv", "id,,\n1,,\n2,,\n")) == [{"id": "1"}, {"id": "2"}]
