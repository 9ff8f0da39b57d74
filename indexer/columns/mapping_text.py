"""The text of `--map`, of the catalogue's columns and of an event log's, and of `--drop`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import FIELDS, MEDIA
from firstsight.storage.quoted_names import quote_name, split_names, split_quoted


@dataclass(frozen=True)
class ColumnPair:
    """One pair of a mapping.

    Attributes:
        ours: the name of the column in firstsight.
        theirs: names of the file's columns; several if they are joined with +.
    """

    ours: str
    theirs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{quote_name(self.ours)}={'+'.join(map(quote_name, self.theirs))}"


def parse_column_pairs(text: str) -> list[ColumnPair]:
    """Parse `title=name,images=front+back`; empty pairs are skipped.

    A name with a comma, `+`, `=` or a blank at its end stands in double quotes: `title="name, long",price="a+b"`. A
    quote inside quotes is doubled.

    Raises:
        CatalogError: the text has another form.
    """
    pairs = []
    names: list[str] = []
    signs = ""
    try:
        for name, sign in split_quoted(text, ",+="):
            names.append(name)
            signs += sign
            if sign in {"+", "="}:
                continue
            signs = signs.removesuffix(",")
            if any(names):
                pairs.append(_pair(names, signs))
            names, signs = [], ""
    except ValueError as error:
        raise CatalogError(str(error)) from None
    return pairs


def _pair(names: list[str], signs: str) -> ColumnPair:
    """A pair from its names and the signs between them."""
    if not signs.startswith("=") or "=" in signs[1:] or not all(names):
        shown = "".join(quote_name(name) + sign for name, sign in zip(names, f"{signs} ", strict=True)).strip()
        raise CatalogError(
            f'--map {shown!r} is not of the form OURS=THEIRS, such as title=name; quote names with signs: title="a, b"'
        )
    return ColumnPair(names[0], tuple(names[1:]))


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
            raise CatalogError(f"--map {str(pair)!r}: {pair.ours!r} is not one of {', '.join(FIELDS)}{hint}")
        if len(pair.theirs) > 1 and pair.ours not in MEDIA:
            raise CatalogError(f"--map {str(pair)!r}: only images and videos can come from several columns")
        mapping[pair.ours] = pair.theirs
    return mapping


def format_mapping(mapping: Mapping[str, Sequence[str]]) -> str:
    """Write a mapping as `parse_mapping` reads it."""
    return ",".join(f"{ours}={'+'.join(map(quote_name, theirs))}" for ours, theirs in mapping.items())


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
    return ",".join(quote_name(name) for name in names)


def near(name: str, names: Iterable[str]) -> str:
    """Clause with the most similar names, such as "; did you mean title?"; empty if none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(by_lower[match] for match in found)}?" if found else ""
