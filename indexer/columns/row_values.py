"""Values of groups and categories in the cells of a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from firstsight.indexer.columns.column_names import names_parent
from firstsight.indexer.columns.html_text import as_plain_line
from firstsight.indexer.columns.media_values import parse_nested

_NO_GROUP: Final = frozenset(("", "none", "null", "nan", "n/a", "-"))
_NAME_KEYS: Final = ("name", "title", "label", "full_name", "fullname", "path", "breadcrumb", "value", "slug", "id")


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
