"""Values of groups and categories in the cells of a catalogue, and short forms of values for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from firstsight.indexer.columns.column_names import names_parent
from firstsight.indexer.columns.html_text import as_plain_line
from firstsight.indexer.columns.media_values import ADDRESS_KEYS, parse_nested
from firstsight.indexer.columns.sample import is_empty
from firstsight.indexer.formats.source import EmbeddedMedium

_NO_GROUP: Final = frozenset(("", "none", "null", "nan", "n/a", "-"))
_NAME_KEYS: Final = ("name", "title", "label", "full_name", "fullname", "path", "breadcrumb", "value", "slug", "id")
_SHOWN_KEYS: Final = (*ADDRESS_KEYS, *_NAME_KEYS, "amount")
_SHOWN: Final = 60  # characters of an example
_MAX_DEPTH: Final = 8  # of values within values


def as_group(value: object, column: str) -> str | None:
    """The id of a group, from a column of this name; None for an empty cell, for `none`, and for the parent 0."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("id", "sku", "handle", "name") if key in value), None)
    if value is None or isinstance(value, bool | list | tuple | bytes) or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in _NO_GROUP or (text == "0" and names_parent(column)) else text


def name_in(value: object) -> str | None:
    """The name in a category: a text, an object such as {"name": "Hoodies"}, or a list of these joined by commas."""
    if value is None or value != value:
        return None
    if isinstance(value, str):
        text = value.strip()
        nested = parse_nested(text) if text[:1] in ("[", "{") else None
        return name_in(nested) if nested is not None else as_plain_line(text) or None
    if isinstance(value, Mapping):
        by_key = {str(key).lower(): nested for key, nested in value.items()}
        return next((name for key in _NAME_KEYS if (name := name_in(by_key.get(key)))), None)
    if isinstance(value, list | tuple):
        names = [name for entry in value if (name := name_in(entry))]
        return ", ".join(dict.fromkeys(names)) or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if isinstance(value, bytes) else str(value)


def shorten(value: object, depth: int = 0) -> str:
    """One line of at most 60 characters: of a list the first value, of an object its address, name or first value."""
    if is_empty(value):
        return ""
    if isinstance(value, EmbeddedMedium):
        text = value.name or "embedded file"
    elif isinstance(value, bytes):
        text = "binary data"
    elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
        by_key = {str(key).lower(): nested for key, nested in value.items()}
        ordered = [by_key.pop(key) for key in _SHOWN_KEYS if key in by_key] + list(by_key.values())
        text = next((shown for nested in ordered if (shown := shorten(nested, depth + 1))), "")
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        text = next((shown for nested in value if (shown := shorten(nested, depth + 1))), "")
    else:
        text = " ".join(str(value)[:1_000].split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
