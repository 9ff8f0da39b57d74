"""Tables that the commands of `firstsight evaluate` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstsight.cli import options
from firstsight.cli.output import Cell, print_table, shown

if TYPE_CHECKING:
    from firstsight.recommend.evaluation.measures import Difference


def print_figures(table: options.NamedTable) -> None:
    """Print a table of figures; its name heads the first column."""
    name, heads, rows = table
    print_table([name, *heads], rows, right=heads)


def figure(value: float) -> Cell:
    """A figure between 0 and 1; empty for NaN, which means not measured."""
    return shown(None if value != value else value, ".3f")


def gap(behind: Difference | None) -> str:
    """A difference to the best model, with its interval; empty for the best model."""
    if behind is None:
        return ""
    return f"{behind.mean:.3f} ({behind.low:.3f} to {behind.high:.3f})"
