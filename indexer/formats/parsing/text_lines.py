"""Lines of text files in any encoding, with any line ends."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from firstsight.errors import CatalogError

MAX_LINE: Final = 64 << 20
"""Characters in one line; a longer one is probably no text."""

_BLOCK: Final = 1 << 16  # bytes
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_PLAIN: Final = 12  # bytes that are looked at
_MIN_ZEROS: Final = 0.01  # of the bytes of UTF-16: line ends, delimiters and Latin letters
_CONTEXT: Final = 12  # bytes around a wrong byte in a message


def open_file(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CatalogError(f"{name} cannot be read ({error.strerror}); check that it exists and is readable") from None


def find_encoding(head: bytes, encoding: str) -> str:
    """Find the encoding of a text by its first bytes.

    A byte-order mark decides, unless the named encoding is a wide one. UTF-16 without a mark is recognised by its zero
    bytes if the named encoding is UTF-8, which is the default.

    Args:
        head: the beginning of the file, an even number of bytes unless the file is shorter.
        encoding: name of the encoding that the user gave.
    """
    codec = codecs.lookup(encoding).name
    if codec.startswith(("utf-16", "utf-32")):
        return encoding
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return marked
    if codec == "utf-8" and b"\0" in head and not _is_plain(head):
        even, odd = head[::2].count(0), head[1::2].count(0)
        guess = "utf-16-le" if odd > even else "utf-16-be"
        enough = max(even, odd) > max(4 * min(even, odd), len(head) * _MIN_ZEROS)
        if enough and not {"\0", "\ufffd"} & set(decode_head(head, guess)):
            return guess
    return encoding


def _is_plain(head: bytes) -> bool:
    """Whether a text that has zero bytes starts as UTF-8: its first letters are no control characters."""
    start = head[:_PLAIN]
    return not _CONTROL.search(start) and is_text(start, "utf-8")


def is_text(head: bytes, encoding: str) -> bool:
    """Whether the beginning of a file can be decoded; a character may be cut at its end."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return False
    return True


def decode_head(head: bytes, encoding: str) -> str:
    """Decode the beginning of a file; a character cut at its end is left out, wrong bytes become U+FFFD."""
    try:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    except UnicodeError:  # UTF-16 without a mark
        return ""
    return text.removeprefix("\ufeff")


def text_blocks(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    """Decode a file in blocks of characters, with the errors of `text_lines`."""
    yield from _decoded(file, encoding, name, lambda text: text.read(_BLOCK))


def text_lines(file: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    r"""Decode a file line by line, with the line ends \n, \r\n and \r, also mixed.

    Raises:
        CatalogError: a byte is wrong in this encoding, or a line is longer than `MAX_LINE`.
    """
    for number, line in enumerate(_decoded(file, encoding, name, lambda text: text.readline(MAX_LINE)), 1):
        if len(line) == MAX_LINE and not line.endswith(("\r", "\n")):
            raise CatalogError(f"{name}, line {number}: the line is longer than {MAX_LINE >> 20} MiB; this is no text")
        yield line


def _decoded(file: BinaryIO, encoding: str, name: str, read: Callable[[io.TextIOWrapper], str]) -> Iterator[str]:
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        first = read(text).removeprefix("\ufeff")  # utf-16-le and similar keep the mark
        yield first
        while part := read(text):
            yield part
    except UnicodeError as error:
        if wide:
            raise CatalogError(f"{name} is not {encoding} ({error}); name its encoding with --encoding") from None
        raise _wrong_byte(file, encoding, name) from None
    finally:
        if not file.closed:
            text.detach()  # the caller closes the file


def _wrong_byte(file: BinaryIO, encoding: str, name: str) -> CatalogError:
    """Read the file again to find the line of its first wrong byte."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    counter = io.IncrementalNewlineDecoder(None, translate=True)
    line = 1
    try:
        while block := file.read(_BLOCK):
            line += counter.decode(decoder.decode(block)).count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        before, place = bytes(error.object[: error.start]), error.start
        line += counter.decode(before.decode(encoding, "ignore"), final=True).count("\n")
        near = bytes(error.object[max(place - _CONTEXT, 0) : place + _CONTEXT]).decode("cp1252", "replace")
        return CatalogError(
            f"{name}, line {line}: byte 0x{error.object[place]:02x} is not {encoding.removesuffix('-sig')}; "
            f"save the file as UTF-8 or name its encoding (--encoding latin-1, cp1252, …); "
            f"with cp1252 the text there is {near!r}"
        )
    return CatalogError(f"{name} changed while it was read; run again")
