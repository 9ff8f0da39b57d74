"""Colour the points of a map by a column: the most frequent values, or quantile classes of numbers and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from firstsight.records import Record

COLOURS = 10
"""Number of values of a column with their own colour, the most frequent ones. All other values share one more."""

NUMBER_CLASSES = 6
"""Number of quantile classes for numbers and times."""


@dataclass(frozen=True)
class Colouring(Record):
    """Colour classes of the points by one column."""

    column: str
    labels: tuple[str, ...]  # of the legend, by code
    codes: tuple[int, ...]  # class of each point
    ordered: bool  # labels rise from low to high


def make_colourings(
    rows: Sequence[dict[str, Any]], names: Sequence[str], *, first: str | None = None
) -> tuple[Colouring, ...]:
    """Make the colourings that show something; by "kind" if no column does.

    Args:
        rows: values by name, one row per point.
        names: columns to consider.
        first: the column to put first; by default a category column.
    """
    colourings = {name: _colouring(name, [row[name] for row in rows]) for name in names}
    useful = [name for name, colouring in colourings.items() if _is_useful(colouring, len(rows))]
    preferred = first or next((name for name in useful if name.lower() in {"category", "product_type"}), None)
    order = ([preferred] if preferred else []) + [name for name in useful if name != preferred]
    return tuple(colourings[name] for name in order or ["kind"])


def short_text(value: object) -> str:
    """Format a cell for display, at most 80 characters."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, float):
        return f"{value:,.10g}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _is_useful(colouring: Colouring, count: int) -> bool:
    """False for a column with a single class, or with nearly all items in the class of other values."""
    if len(colouring.labels) < 2:
        return False
    if colouring.ordered:
        return True
    others = colouring.codes.count(COLOURS) if len(colouring.labels) > COLOURS else 0
    return others < 0.9 * count


def _colouring(name: str, values: Sequence[object]) -> Colouring:
    numbers = [v.timestamp() if isinstance(v, datetime) else v for v in values]
    known = [float(v) for v in numbers if isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v)]
    if len(set(known)) > COLOURS:
        return _quantile_colouring(name, values, numbers, known)
    texts = ["none" if value is None else short_text(value) for value in values]
    counts = Counter(texts)
    by_count = sorted(counts, key=lambda text: (-counts[text], text))
    labels = by_count
    if len(by_count) > COLOURS + 1:
        labels = [*by_count[:COLOURS], f"{len(by_count) - COLOURS} others"]
    code = {text: min(n, len(labels) - 1) for n, text in enumerate(by_count)}
    return Colouring(name, tuple(labels), tuple(code[text] for text in texts), ordered=False)


def _quantile_colouring(
    name: str, values: Sequence[object], numbers: Sequence[object], known: Sequence[float]
) -> Colouring:
    """Classes of similar size for numbers and times, and a class for missing values."""
    edges = np.unique(np.quantile(known, np.linspace(0, 1, NUMBER_CLASSES + 1)))
    times = any(isinstance(value, datetime) for value in values)

    def text(edge: float) -> str:
        return f"{datetime.fromtimestamp(edge):%Y-%m-%d}" if times else f"{edge:,.4g}"

    labels = [f"{text(low)} to {text(high)}" for low, high in pairwise(edges)]
    last = len(labels) - 1
    codes = [
        int(np.clip(np.searchsorted(edges, v, side="right") - 1, 0, last))
        if isinstance(v, int | float) and np.isfinite(v)
        else last + 1
        for v in numbers
    ]
    return Colouring(name, (*labels, "none") if last + 1 in codes else tuple(labels), tuple(codes), ordered=True)
