"""The text of `--map` and `--drop`: names of columns, quoted where they contain separators."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from firstsight.errors import CatalogError
from firstsight.indexer.column_mapping import parse_column_pairs, quote_column
from firstsight.indexer.columns.catalog_options import FIELDS, MEDIA
from firstsight.indexer.name_lists import split_names


def parse_mapping(*texts: str) -> dict[str, tuple[str, ...]]:
    """Parse `--map`: `title=name,images=front+back` gives {"title": ("name",), "images": ("front", "back")}.

    Column names with commas, plus signs, equals signs or quotes stand in double quotes: `title="Name, long"`. A quote
    within them is doubled.

    Args:
        texts: values of the option, in order; a field in a later one replaces the same field of an earlier one.

    Raises:
        CatalogError: a text has another form, or maps to an unknown field.
    """
    mapping: dict[str, tuple[str, ...]] = {}
    for pair in (pair for text in texts for pair in parse_column_pairs(text)):
        if pair.ours not in FIELDS:
            hint = near(pair.ours, FIELDS)
            raise CatalogError(f"--map {pair.shown!r}: {pair.ours!r} is not one of {', '.join(FIELDS)}{hint}")
        if len(pair.theirs) > 1 and pair.ours not in MEDIA:
            raise CatalogError(f"--map {pair.shown!r}: only images and videos can come from several columns")
        mapping[pair.ours] = pair.theirs
    return mapping


def format_mapping(mapping: Mapping[str, Sequence[str]]) -> str:
    """Write a mapping as `parse_mapping` reads it."""
    return ",".join(f"{ours}={'+'.join(quote_column(name) for name in theirs)}" for ours, theirs in mapping.items())


def parse_names(text: str) -> list[str]:
    """Parse `--drop`: names of columns with commas between them, in double quotes if they contain commas or quotes.

    Raises:
        CatalogError: a quote is not closed.
    """
    try:
        return split_names([text])
    except ValueError as error:
        raise CatalogError(str(error)) from None


def format_names(names: Iterable[str]) -> str:
    """Write names as `parse_names` reads them."""
    return ",".join(quote_column(name) for name in names)


def near(name: str, names: Iterable[str]) -> str:
    """Clause with the most similar names, such as "; did you mean title?"; empty if none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(by_lower[match] for match in found)}?" if found else ""
