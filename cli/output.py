"""Printing: a table for people on a terminal, JSON lines with --json or in a pipe."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import typer


def wants_json(asked: bool) -> bool:
    """Whether to print JSON lines: when asked to, or when nobody is watching."""
    return asked or not sys.stdout.isatty()


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, as UTF-8."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, default=_plain) + "\n")
    sys.stdout.flush()  # a reader that has gone, such as head, is noticed here and not at exit


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = ()) -> None:
    """A table; `right` names the columns of numbers. Cells are taken as they are, never as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    aligned = set(right)
    for name in columns:
        table.add_column(name, justify="right" if name in aligned else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else harmless(str(cell))) for cell in row))
    Console().print(table)


def tell(line: str) -> None:
    """One line to the person, on stderr."""
    print(harmless(line), file=sys.stderr, flush=True)  # noqa: T201


def harmless(text: str) -> str:
    """Text without control and direction characters, which in a title could steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 but tab and newline, and what overrides the direction of writing."""


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """A block that writes a file named by an option; where it cannot, the option is what is wrong."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written ({error.strerror})", param_hint=option) from None


def clock(seconds: float | None) -> str:
    """Seconds as m:ss, or empty."""
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value)} is not JSON")
