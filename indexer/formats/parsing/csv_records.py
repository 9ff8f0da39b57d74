"""Records of CSV text: separators, quotes, and reasons for malformed records."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

DELIMITERS: Final = ",;\t|"

MAX_CELL: Final = 16 << 20
"""Characters in one cell. A longer cell is refused, so that a quote without an end does not swallow the file."""

MAX_RECORD: Final = 64 << 20
"""Characters in one record."""

_SEPARATOR_LINE: Final = re.compile(r'"?sep=(\\t|[^\w\s"]|\t)"?[,;\t|\s]*', re.IGNORECASE)
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_CONTENT: Final = re.compile(r'[^\s,;|"]')
_HEADER_LINES: Final = 50  # lines of a header with line ends inside its quotes


@dataclass(frozen=True)
class Malformed:
    """The reason why a record cannot be read, as a clause."""

    reason: str


@dataclass(frozen=True)
class Record:
    """A record with the lines that it covers, counted from 1."""

    line: int
    last_line: int
    cells: list[str] | Malformed


class CsvRecords:
    """Iterate over the records of a text.

    Blank lines before the header are skipped. A first line such as `sep=;`, as spreadsheets write it, names the
    delimiter. Otherwise the delimiter is the one of comma, semicolon, tab and pipe that the header has most often
    outside quotes. After a malformed record, reading goes on in the line after its first one.

    Args:
        lines: the text, with line ends.
        preferred: delimiter to use if the header contains it, such as a tab for a file called `.tsv`.

    Attributes:
        delimiter: one character.
        width: number of cells in the header, set by the caller. A record of a tab-separated text that is malformed
            because of its quotes is read without quoting if it has this number of cells then: many programs that write
            tabs do not quote.
    """

    def __init__(self, lines: Iterator[str], preferred: str | None = None) -> None:
        raise_cell_limit()
        self._lines = lines
        self._again: deque[str] = deque()  # lines to read again
        self._record: list[str] = []  # lines of the current record
        self._number = 0  # lines read
        self.width = 0
        self.delimiter = self._find_delimiter(preferred)

    def __iter__(self) -> Iterator[Record]:
        reader = self._reader()
        while True:
            self._record.clear()
            start = self._number + 1
            try:
                cells: list[str] | Malformed | None = next(reader, None)
            except csv.Error as error:
                cells = Malformed(_reason(str(error)))
                last = self._go_back()
                reader = self._reader()
            else:
                last = self._number
            if cells is None:
                return
            if self.delimiter == "\t" and self.width and (isinstance(cells, Malformed) or len(cells) != self.width):
                literal = self._record[0].rstrip("\r\n").split("\t")
                if len(literal) == self.width:
                    cells = literal
                    if len(self._record) > 1:
                        last = self._go_back()
                        reader = self._reader()
            yield Record(start, last, cells)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self.delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        size = 0
        while (line := self._next_line()) is not None:
            size = len(line) if not self._record else size + len(line)
            self._record.append(line)
            if size > MAX_RECORD:
                raise csv.Error(f"a row is longer than {MAX_RECORD >> 20} MiB; perhaps a quote in it is not closed")
            yield line

    def _next_line(self) -> str | None:
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is not None:
            self._number += 1
        return line

    def _go_back(self) -> int:
        """Read all lines of the current record but the first again; return the number of the first."""
        later = self._record[1:]
        self._again.extendleft(reversed(later))
        self._number -= len(later)
        del self._record[1:]
        return self._number

    def _find_delimiter(self, preferred: str | None) -> str:
        header: list[str] = []
        while (line := self._next_line()) is not None:
            if not header and (named := _SEPARATOR_LINE.fullmatch(line.strip("\ufeff\r\n"))):
                return "\t" if named[1] == "\\t" else named[1]
            header.append(line)
            if "".join(header).count('"') % 2 == 1 and len(header) < _HEADER_LINES:
                continue  # a line end inside quotes
            if _CONTENT.search("".join(header)):
                break
            header.clear()  # a blank line, or one of delimiters alone
        text = _QUOTED.sub("", "".join(header))
        while header and not any(delimiter in text for delimiter in DELIMITERS) and len(header) < _HEADER_LINES:
            if (line := self._next_line()) is None:  # perhaps a title above the header
                break
            header.append(line)
            if _CONTENT.search(line):
                text = _QUOTED.sub("", line)
                break
        self._again.extendleft(reversed(header))
        self._number -= len(header)
        if preferred and preferred in text:
            return preferred
        return max(DELIMITERS, key=text.count)


def raise_cell_limit() -> None:
    """Raise the limit of the csv module to `MAX_CELL`.

    The limit belongs to the process. It is never lowered, because another thread may be reading at the same time.
    """
    if csv.field_size_limit() < MAX_CELL:
        csv.field_size_limit(MAX_CELL)


def _reason(message: str) -> str:
    if "end of data" in message:
        return "a quote that opens in this row is not closed; close it, or write a quote inside a cell as two quotes"
    if "field limit" in message:
        return f"a cell of this row is longer than {MAX_CELL >> 20} MiB; perhaps a quote in this row is not closed"
    if "expected after" in message:
        return "a cell goes on after its closing quote; write a quote inside a cell as two quotes"
    return message
