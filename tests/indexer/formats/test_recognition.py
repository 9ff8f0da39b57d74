"""A file's contents choose its reader, and files that cannot be read are named with a remedy."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from PIL import Image

from firstsight.errors import CatalogError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow
from tests.indexer.formats.reading import rows, write

ITEMS = [{"item_id": "a", "title": "tea, green"}, {"item_id": "b", "title": "Crème"}]


def csv_text(delimiter: str) -> str:
    lines = [("item_id", "title"), *((item["item_id"], f'"{item["title"]}"') for item in ITEMS)]
    return "".join(delimiter.join(line) + "\n" for line in lines)


def xlsx_bytes() -> bytes:
    book = openpyxl.Workbook()
    for row in (["item_id", "title"], *([*item.values()] for item in ITEMS)):
        book["Sheet"].append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def feed_xml() -> bytes:
    items = "".join(f"<item><g:id>{i['item_id']}</g:id><g:title>{i['title']}</g:title></item>" for i in ITEMS)
    return f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{items}</channel></rss>'.encode()


FORMS: dict[str, Callable[[], bytes]] = {
    "CSV": lambda: csv_text(",").encode(),
    "CSV with a mark": lambda: csv_text(",").encode("utf-8-sig"),
    "CSV with semicolons": lambda: csv_text(";").encode(),
    "CSV with tabs": lambda: csv_text("\t").encode(),
    "CSV with pipes": lambda: csv_text("|").encode(),
    "CSV in UTF-16": lambda: csv_text(",").encode("utf-16"),
    "CSV in UTF-16-LE without a mark": lambda: csv_text("\t").encode("utf-16-le"),
    "CSV in UTF-16-BE without a mark": lambda: csv_text("\t").encode("utf-16-be"),
    "JSON array": lambda: json.dumps(ITEMS).encode(),
    "JSON array, indented": lambda: json.dumps(ITEMS, indent=2).encode(),
    "JSON array in UTF-16": lambda: json.dumps(ITEMS, ensure_ascii=False).encode("utf-16"),
    "JSON object with a list": lambda: json.dumps({"page": 1, "stuff": ITEMS, "next": None}).encode(),
    "JSON Lines": lambda: "".join(json.dumps(item) + "\n" for item in ITEMS).encode(),
    "JSON Lines with blank lines": lambda: "\n".join(json.dumps(item) + "\r\n" for item in ITEMS).encode(),
    "XLSX": xlsx_bytes,
    "RSS": feed_xml,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".json", ".xml", ".download", ""])
def test_the_contents_choose_the_reader_and_not_the_suffix(tmp_path: Path, form: str, suffix: str) -> None:
    found = rows(write(tmp_path / f"catalogue{suffix}", FORMS[form]()))
    assert [{name: row[name] for name in ("item_id", "title")} for row in found] == ITEMS


@pytest.mark.parametrize("form", FORMS)
def test_every_file_can_be_read_from_standard_input(form: str) -> None:
    source = open_source("-", stdin=io.BytesIO(FORMS[form]()))
    first, second = ([row for _, row in source.rows() if not isinstance(row, BadRow)] for _ in range(2))
    assert first == second
    assert [{name: row[name] for name in ("item_id", "title")} for row in first] == ITEMS
    assert source.root == Path.cwd()


@pytest.mark.parametrize(
    ("form", "format_"),
    [("CSV", "CSV"), ("JSON array", "JSON"), ("JSON Lines", "JSON Lines"), ("RSS", "product feed (XML)")],
)
def test_a_reader_names_its_format(tmp_path: Path, form: str, format_: str) -> None:
    assert open_source(str(write(tmp_path / "c", FORMS[form]()))).format == format_


def zip_of(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"item_id\na\n"), "a gzip archive, which is not supported; unpack it"),
        (bz2.compress(b"item_id\na\n"), "a bzip2 archive"),
        (zip_of("catalogue.csv"), "a ZIP archive, which is not supported; unpack it"),
        (zip_of("mimetype", "content.xml"), r"an OpenDocument file \(ODS\).* save it as XLSX or CSV"),
        (zip_of("Index/Document.iwa"), "a Numbers document.* export it as XLSX or CSV"),
        (zip_of("xl/workbook.bin"), "a binary Excel workbook"),
        (b"PK\x03\x04 cut", "a damaged ZIP archive or XLSX workbook"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 100, r"an old Excel workbook \(XLS\).* save it as XLSX or CSV"),
        (b"SQLite format 3\0" + b"\0" * 100, "a SQLite database.* export its table"),
        (b"%PDF-1.7\n", "a PDF document"),
        (pickle.dumps([1]), "a Python pickle, which could run code"),
        (picture(), r"a picture or video \(PNG\), not a catalogue; give the folder"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 100, r"a picture or video \(MP4\)"),
        (b"<!DOCTYPE html>\n<html><body>Log in</body></html>", r"a web page \(HTML\)"),
        (b"<html><body>Log in</body></html>", r"a web page \(HTML\)"),
        (b'<?xml version="1.0"?><Workbook></Workbook>', "XML with the first element <Workbook>, not a product feed"),
        (bytes(range(256)) * 4, "its contents are binary"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_file_of_another_kind_is_named_with_a_remedy(
    tmp_path: Path, content: bytes, message: str, suffix: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        rows(write(tmp_path / f"c{suffix}", content))


@pytest.mark.parametrize("header", ["[item_id],[title]", "{item_id},title", "ORCID,item_id", "BZh,item_id"])
def test_a_csv_whose_header_starts_like_another_format_is_a_csv(tmp_path: Path, header: str) -> None:
    assert rows(write(tmp_path / "c.csv", f"{header}\na,b\n")) == [
        dict(zip(header.split(","), ["a", "b"], strict=True))
    ]


def test_a_csv_with_a_zero_byte_in_a_cell_is_a_csv(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "c.csv", "item_id,title\na,x\0y\n")) == [{"item_id": "a", "title": "x\0y"}]
