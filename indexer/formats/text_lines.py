"""Lines of text files in any encoding."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from firstsight.errors import CatalogError


def open_file(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CatalogError(f"{name} cannot be read ({error.strerror}); check that it exists and is readable") from None


def text_lines(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    """Decode line by line, so that the error for a wrong byte has its line number."""
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        yield from _wide_lines(file, encoding, name)
        return
    for number, line in enumerate(file, 1):
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise CatalogError(f"{name} starts like UTF-16; pass --encoding utf-16, or save it as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError as error:
            raise CatalogError(
                f"{name}, line {number}: byte 0x{error.object[error.start]:02x} is not {encoding}; "
                "save the file as UTF-8 or name its encoding (--encoding latin-1, cp1252, …)"
            ) from None


def _wide_lines(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    """Decode UTF-16 or UTF-32 as a stream; they cannot be split at newline bytes."""
    try:
        with io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            for number, line in enumerate(text, 1):
                yield (line.removeprefix("\ufeff") if number == 1 else line)  # utf-16-le and similar keep the mark
    except UnicodeError as error:
        raise CatalogError(f"{name} is not {encoding} ({error}); name its encoding with --encoding") from None
