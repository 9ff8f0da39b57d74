"""Names of tags, and the columns of items that hold them."""

from __future__ import annotations

import re
from typing import Any, Final

import pyarrow as pa

from firstsight.errors import TagError
from firstsight.storage.facts.fact_columns import TAG_PREFIX
from firstsight.storage.side_tables import TableLocation, open_side_table

PERSON: Final = "person"
CATALOGUE: Final = "catalogue"
PREDICTED: Final = "predicted"

MODEL_TABLE: Final = "tag_models"
LABEL_TABLE: Final = "tag_labels"

VALUES: Final = ", "
"""Separator of the values of a multi-label tag in its column."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def require_tag_name(name: str) -> str:
    """Check the name of a tag: 1 to 40 lower-case letters, digits and _; it may not end in _p or _by.

    Raises:
        TagError: the name breaks these rules.
    """
    if not _NAME.fullmatch(name) or name.endswith(("_p", "_by")):
        raise TagError(
            f"{name[:60]!r} is no name of a tag; give up to 40 lower-case letters, digits and _, such as category, "
            "that do not end in _p or _by"
        )
    return name


def tag_name_of_column(column: str) -> str:
    """Return the name of a tag that is learned from a column: "Product Type" is product_type."""
    return require_tag_name(re.sub(r"[^a-z0-9]+", "_", column.casefold()).strip("_")[:40] or "tag")


def has_tags(store: TableLocation) -> bool:
    """Whether a database has versions of a tag, or values that people gave."""
    return any(open_side_table(store, name) is not None for name in (MODEL_TABLE, LABEL_TABLE))


def tag_fields(tag: str) -> list[pa.Field[Any]]:
    """Columns of a tag: its value, the probability of the value, and its source (person, catalogue or predicted)."""
    name = f"{TAG_PREFIX}{tag}"
    return [pa.field(name, pa.string()), pa.field(f"{name}_p", pa.float32()), pa.field(f"{name}_by", pa.string())]


def tag_row(tag: str, values: tuple[str, ...], p: float | None, by: str | None) -> dict[str, Any]:
    """Return the values of a tag's columns for one item; no values are "don't know"."""
    name = f"{TAG_PREFIX}{tag}"
    return {name: VALUES.join(values) or None, f"{name}_p": p, f"{name}_by": by}
