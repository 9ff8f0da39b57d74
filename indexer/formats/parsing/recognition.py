"""Recognise the format of a catalogue file by its first bytes."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from firstsight.errors import CatalogError
from firstsight.indexer.formats.parsing.text_lines import decode_head, find_encoding, is_text, open_file
from firstsight.media.file_formats import PICTURE_FORMATS, SNIFF_BYTES, VIDEO_FORMATS, sniff

HEAD: Final = 1 << 20
"""Bytes that are looked at."""

FileKind = Literal["csv", "json", "json_lines", "xml", "xlsx", "parquet", "arrow_file", "arrow_stream"]

_SUFFIXES: Final[dict[str, FileKind]] = {
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
}
"""Formats of files whose contents do not decide."""

_UNPACK: Final = "unpack it and give the file inside"
_SAVE: Final = "open it and save it as XLSX or CSV"
_REFUSED: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x1f\x8b", "a gzip archive", "unpack it (gunzip -k FILE) and give the file inside"),
    *((b"BZh%d1AY&SY" % level, "a bzip2 archive", _UNPACK) for level in range(1, 10)),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a", "a RAR archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (XLS), or one with a password", _SAVE),
    (b"SQLite format 3\0", "a SQLite database", "export its table of items as CSV"),
    (b"%PDF-", "a PDF document", "give the catalogue as CSV, JSON or XLSX"),
    (b"{\\rtf", "an RTF document", "save it as CSV"),
    (b"Obj\x01", "an Avro file", "convert it to Parquet"),
    (b"\x89HDF", "an HDF5 file", "convert it to Parquet"),
    (b"\x93NUMPY", "a NumPy file", "give the catalogue as CSV, JSON or Parquet"),
    (b"\x80\x04", "a Python pickle, which could run code", "save the table as Parquet or CSV"),
    (b"\x80\x05", "a Python pickle, which could run code", "save the table as Parquet or CSV"),
)
_OFFICE: Final = (
    ("xl/workbook.bin", "a binary Excel workbook (XLSB)", _SAVE),
    ("Index/Document.iwa", "a Numbers document", "export it as XLSX or CSV"),
    ("Index.zip", "a Numbers document", "export it as XLSX or CSV"),
    ("word/document.xml", "a Word document", "save its table as CSV"),
    ("mimetype", "an OpenDocument file (ODS)", _SAVE),
)
_JSON: Final = re.compile(r'\{\s*["}]|\[\s*[\[{\]"\d]')  # not a CSV whose columns are called [id] or {id}
_MAX_ZEROS: Final = 1 / 200  # of the characters of a text; more make it binary
_WEB_PAGE: Final = re.compile(r"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Recognised:
    """The format of a file, and the encoding if it is a text."""

    kind: FileKind
    encoding: str


def recognise(path: Path, name: str, encoding: str, supported: str) -> Recognised:
    """Recognise a file's format by its contents; the suffix decides between formats that look alike.

    Args:
        path: a regular file.
        name: of the catalogue, for messages.
        encoding: as the user gave it; see `find_encoding`.
        supported: the formats that can be read, for messages.

    Raises:
        CatalogError: the file is of a format that cannot be read.
    """
    with open_file(path, name) as file:
        head = file.read(HEAD)
    suffix = path.suffix.lower()
    if head.startswith(b"PAR1"):
        return Recognised("parquet", encoding)
    if head.startswith(b"ARROW1"):
        return Recognised("arrow_file", encoding)
    if head.startswith(b"\xff\xff\xff\xff") and len(head) > 8:
        return Recognised("arrow_stream", encoding)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _check_archive(path, name)
        return Recognised("xlsx", encoding)
    for magic, what, remedy in _REFUSED:
        if head.startswith(magic):
            raise CatalogError(f"{name} is {what}, which is not supported; {remedy}")
    medium = sniff(head[:SNIFF_BYTES]) if b"\0" in head[:SNIFF_BYTES] else None
    if medium in PICTURE_FORMATS or medium in VIDEO_FORMATS or medium == "HEIC":
        raise CatalogError(f"{name} is a picture or video ({medium}), not a catalogue; give the folder that has it")
    found = find_encoding(head, encoding)
    text = decode_head(head, found)
    many = text.count("\0") > len(text) * _MAX_ZEROS and suffix not in _SUFFIXES
    if b"\0" in head and (many or not is_text(head, found)):
        if suffix == ".parquet":
            return Recognised("parquet", encoding)  # damaged; its reader says so
        raise CatalogError(f"{name} is not a catalogue: its contents are binary, of no known format; give {supported}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Recognised(_text_kind(text, suffix, name, whole=len(head) < HEAD), found)


def _text_kind(text: str, suffix: str, name: str, *, whole: bool) -> FileKind:
    start = text.lstrip()
    if not start:
        return _SUFFIXES.get(suffix, "csv")
    if _WEB_PAGE.match(start):
        raise CatalogError(f"{name} is a web page (HTML), perhaps of a login; download the catalogue itself")
    if start.startswith("<"):
        return "xml"
    if _JSON.match(start):
        return _json_kind(start, suffix, whole=whole)
    first = start.partition("\n")[0]
    if suffix == ".parquet" or (suffix == ".json" and first[0] not in "[{\"'" and re.search("[,;\t|]", first)):
        return "csv"
    return _SUFFIXES.get(suffix, "csv")


def _json_kind(start: str, suffix: str, *, whole: bool) -> FileKind:
    """JSON Lines if the first line is a whole JSON object and another line follows, or if no more is visible of it."""
    first, _, rest = start.partition("\n")
    if not rest.strip() and not whole:
        return _SUFFIXES.get(suffix, "json")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # the first line is the beginning of a document, or a malformed line of JSON Lines
        return "json_lines" if suffix != ".json" and _looks_like_lines(rest) else "json"
    if not rest.strip():
        return "json_lines" if suffix in {".jsonl", ".ndjson"} else "json"
    return "json_lines" if isinstance(value, dict) or suffix in {".jsonl", ".ndjson"} else "json"


def _looks_like_lines(rest: str) -> bool:
    lines = [line for line in rest.splitlines()[:20] if line.strip()]
    return bool(lines) and 2 * sum(map(_is_object, lines)) >= len(lines)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _check_archive(path: Path, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CatalogError(f"{name} is a damaged ZIP archive or XLSX workbook ({error}); save it again") from None
    if "xl/workbook.xml" in names:
        return
    for member, what, remedy in _OFFICE:
        if member in names:
            raise CatalogError(f"{name} is {what}, which is not supported; {remedy}")
    raise CatalogError(f"{name} is a ZIP archive, which is not supported; {_UNPACK}")
