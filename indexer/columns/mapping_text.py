"""The text of `--map` and `--drop`: names of columns, quoted where they contain separators."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import FIELDS, MEDIA


def parse_mapping(*texts: str) -> dict[str, tuple[str, ...]]:
    """Parse `--map`: `title=name,images=front+back` gives {"title": ("name",), "images": ("front", "back")}.

    Column names with commas, plus signs or quotes stand in quotes, single or double: `title="Name, long"`. A quote
    within them is doubled.

    Args:
        texts: values of the option, in order; a field in a later one replaces the same field of an earlier one.

    Raises:
        CatalogError: a text has another form, or maps to an unknown field.
    """
    mapping: dict[str, tuple[str, ...]] = {}
    for text in texts:
        for ours, names in _pairs(text):
            shown = f"{ours}={'+'.join(names)}"
            if ours not in FIELDS:
                raise CatalogError(f"--map {shown!r}: {ours!r} is not one of {', '.join(FIELDS)}{near(ours, FIELDS)}")
            if len(names) > 1 and ours not in MEDIA:
                raise CatalogError(f"--map {shown!r}: only images and videos can come from several columns")
            mapping[ours] = tuple(names)
    return mapping


def format_mapping(mapping: Mapping[str, Sequence[str]]) -> str:
    """Write a mapping as `parse_mapping` reads it."""
    return ",".join(f"{ours}={'+'.join(_quoted(name) for name in theirs)}" for ours, theirs in mapping.items())


def parse_names(text: str) -> list[str]:
    """Parse `--drop`: names of columns with commas between them, in quotes if they contain commas or quotes.

    Raises:
        CatalogError: a quote is not closed.
    """
    names: list[str] = []
    place = 0
    while place < len(text):
        name, place = _name(text, place, ",", "--drop")
        if name:
            names.append(name)
        place += 1
    return names


def format_names(names: Iterable[str]) -> str:
    """Write names as `parse_names` reads them."""
    return ",".join(_quoted(name) for name in names)


def near(name: str, names: Iterable[str]) -> str:
    """Clause with the most similar names, such as "; did you mean title?"; empty if none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(by_lower[match] for match in found)}?" if found else ""


def _pairs(text: str) -> Iterator[tuple[str, list[str]]]:
    place = 0
    while place < len(text):
        if text[place] in ", ":
            place += 1
            continue
        equals = text.find("=", place)
        comma = text.find(",", place)
        if equals < 0 or 0 <= comma < equals:
            shown = text[place : comma if comma >= 0 else None].strip()
            raise CatalogError(f"--map {shown!r} is not of the form OURS=THEIRS, such as title=name")
        ours, start = text[place:equals].strip(), place
        names: list[str] = []
        place = equals
        while place < len(text) and (text[place] == "+" or not names):
            name, place = _name(text, place + 1, ",+", "--map")
            names.append(name)
        if not ours or not all(names):
            raise CatalogError(
                f"--map {text[start:place].strip()!r} is not of the form OURS=THEIRS, such as title=name"
            )
        yield ours, names


def _name(text: str, place: int, ends: str, option: str) -> tuple[str, int]:
    """Read a name from `place`; returns it with the place of the separator after it."""
    while place < len(text) and text[place] == " ":
        place += 1
    if place < len(text) and text[place] in "\"'":
        return _name_in_quotes(text, place, ends, option)
    end = min((at for mark in ends if (at := text.find(mark, place)) >= 0), default=len(text))
    return text[place:end].strip(), end


def _name_in_quotes(text: str, place: int, ends: str, option: str) -> tuple[str, int]:
    quote, start, parts = text[place], place, ""
    while True:
        end = text.find(quote, place + 1)
        if end < 0:
            raise CatalogError(f"{option} {text[start:]!r}: the quote {quote} is not closed")
        parts += text[place + 1 : end]
        if text[end + 1 : end + 2] != quote:
            break
        parts += quote
        place = end + 1
    end += 1
    while end < len(text) and text[end] == " ":
        end += 1
    if end < len(text) and text[end] not in ends:
        raise CatalogError(f"{option} {text[start:]!r}: after the quoted name comes {text[end]!r}; separate names by ,")
    return parts, end


def _quoted(name: str) -> str:
    if name and name == name.strip() and not any(mark in name for mark in ",+\"'"):
        return name
    return '"' + name.replace('"', '""') + '"'
