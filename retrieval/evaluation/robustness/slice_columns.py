"""Columns whose values divide the items of a measurement into slices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from firstsight.errors import QueryError

_GUESSED: Final = (
    ("language", "lang", "locale", "sprache"),
    ("category", "product_type", "google_product_category", "type"),
)
"""Names of the columns for language and category; of each the first one that there is."""

_MAX_NUMBERS: Final = 12
"""A column with more different numbers is divided into quarters."""


def choose_columns(names: Sequence[str], by: Sequence[str]) -> list[str]:
    """Choose the columns of the slices: language and category if there are such columns, and those of `by`.

    Args:
        names: columns of the database or catalogue.
        by: columns of the caller.

    Raises:
        QueryError: one of `by` is no column.
    """
    for name in by:
        if name not in names:
            raise QueryError(f"--by {name!r} is no column; the columns are {', '.join(names)}")
    lower = {name.lower(): name for name in reversed(names)}
    guessed = [next((lower[name] for name in group if name in lower), None) for group in _GUESSED]
    return list(dict.fromkeys([*(name for name in guessed if name is not None), *by]))


def guessed_facts(names: Sequence[str]) -> list[str]:
    """Facts that give default slices because no column does: language and category.

    Args:
        names: columns of the database.
    """
    lower = {name.lower() for name in names}
    return [group[0] for group in _GUESSED if lower.isdisjoint(group)]


def language_column(names: Sequence[str]) -> str | None:
    """The column that names the language of an item, if there is one."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in _GUESSED[0] if name in lower), None)


def slice_values(rows: Sequence[Mapping[str, Any]], column: str) -> list[str | None]:
    """Return the slice of each row; None for a row without a value.

    Numbers with many different values become four ranges with equal numbers of rows.

    Args:
        rows: values of items by column.
        column: name of the column.
    """
    values = [row.get(column) for row in rows]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    finite = [float(number) for number in numbers if np.isfinite(number)]
    if len(set(finite)) > _MAX_NUMBERS and len(numbers) == sum(value is not None for value in values):
        return _quarters(values, finite)
    return [None if value is None or not str(value).strip() else _text(value) for value in values]


def _quarters(values: Sequence[Any], finite: Sequence[float]) -> list[str | None]:
    ends = sorted({float(end) for end in np.quantile(finite, [0.25, 0.5, 0.75])})
    labels = [f"up to {ends[0]:g}"]
    labels += [f"above {low:g} to {high:g}" for low, high in itertools.pairwise(ends)]
    labels.append(f"above {ends[-1]:g}")
    return [
        None if value is None or not np.isfinite(value) else labels[int(np.searchsorted(ends, float(value)))]
        for value in values
    ]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
