"""Printing: a table for people on a terminal, JSON lines with --json or in a pipe, CSV with --csv."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer


def wants_json(json_flag: bool) -> bool:
    """Whether to print JSON lines: with --json, and whenever stdout is no terminal."""
    return json_flag or not sys.stdout.isatty()


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, default=_to_json) + "\n")
    sys.stdout.flush()  # so a closed pipe, as after `head`, raises here and not at exit


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = ()) -> None:
    """Print a table.

    Args:
        columns: headings.
        rows: cells, printed as they are, never as markup; None is empty.
        right: headings of the columns to align right, such as numbers.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    right_aligned = set(right)
    for name in columns:
        table.add_column(name, justify="right" if name in right_aligned else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else replace_control_characters(str(cell))) for cell in row))
    Console().print(table)


@dataclass(frozen=True)
class Cell:
    """A value that people and programs read in different forms: a table shows `text`, CSV has `value`."""

    value: object
    text: str

    def __str__(self) -> str:
        return self.text


def shown(value: float | datetime | None, form: str) -> Cell:
    """A number or time in a form for people, such as `.3f` or `%Y-%m-%d`; empty for None."""
    return Cell(value, "" if value is None else format(value, form))


def at_second(seconds: float | None) -> Cell:
    """Seconds, for people as m:ss."""
    return Cell(seconds, clock(seconds))


def at_tenth(seconds: float | None) -> Cell:
    """Seconds with two decimals, for people as m:ss.s; they may be negative."""
    if seconds is None:
        return Cell(None, "")
    tenths = round(abs(seconds) * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return Cell(round(seconds, 2), f"{sign}{tenths // 600}:{tenths % 600 / 10:04.1f}")


def shown_variants(variants: int | None) -> Cell:
    """A number of variants, for people as "3 variants"; empty for them if an item has no other variants."""
    return Cell(variants, "" if variants is None or variants < 2 else f"{variants:,} variants")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV (RFC 4180) with a header: UTF-8, CRLF, quotes where needed.

    A text that a spreadsheet would run as a formula gets an apostrophe in front: one that starts with =, +, -, @, a tab
    or a carriage return, and is not a number.
    """
    import csv

    lines = csv.writer(sys.stdout, lineterminator="\r\n")
    is_terminal = sys.stdout.isatty()
    for row in [columns, *rows]:
        cells = [_csv_text(cell.value if isinstance(cell, Cell) else cell) for cell in row]
        lines.writerow([replace_control_characters(cell) for cell in cells] if is_terminal else cells)
    sys.stdout.flush()


def plain_text(value: object) -> str:
    """A value of a column as text: whole numbers without decimals, times in ISO 8601, empty for None."""
    from firstsight.indexer.columns.column_values import as_text

    return "" if value is None else as_text(value)


def _csv_text(value: object) -> str:
    text = plain_text(value)
    is_formula = isinstance(value, str) and text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*")


def print_message(line: str) -> None:
    """Print a line for people, on stderr."""
    print(replace_control_characters(line), file=sys.stderr, flush=True)  # noqa: T201


def replace_control_characters(text: str) -> str:
    """Replace control and direction characters: in a title they could control the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 except tab and newline, and characters that change the writing direction."""


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """Report an `OSError` in the block as wrong usage of the option that names the file."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written ({error.strerror})", param_hint=option) from None


def clock(seconds: float | None) -> str:
    """Format seconds as m:ss; empty for None."""
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value)} cannot be written as JSON")
