"""Product groups: which items are variants of one product, and the values that tell variants apart.

The ids of the products are the column `group_id` of `items`. The names of the variant columns and their values are kept
as JSON in the metadata of that column, so they are versioned together with the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from firstsight.errors import StoreError
from firstsight.storage.store import Store

GROUP_COLUMN: Final = "group_id"
"""Column of `items`: the id of the product that an item is a variant of; null for an item that has no variants."""

VARIANT_IDS_COLUMN: Final = "variant_ids"
"""Column of `items`: JSON list with the ids of the variants that were merged into the item; null if none were."""

VARIANTS_KEY: Final = "firstsight:variant_values"
"""Key of the variant values in the metadata of the field `items.group_id`."""

MAX_VALUES: Final = 1_000
"""Maximum number of values that are kept, of all variant columns together."""

MAX_CHARACTERS: Final = 80
"""Maximum length of a kept value. No query names a longer one."""


@dataclass(frozen=True)
class ProductGroups:
    """The variant columns of a database, such as color and size, with the values seen in them."""

    variant_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_product_groups(store: Store) -> ProductGroups | None:
    """Read the variant columns of a database.

    Returns:
        The variant columns; they are empty if only the products are known. None if `items` has no `group_id` column.
    """
    schema = store.items.schema
    if GROUP_COLUMN not in schema.names:
        return None
    metadata = schema.field(GROUP_COLUMN).metadata or {}
    return _parse(metadata.get(VARIANTS_KEY.encode(), b"{}"))


def note_variant_values(store: Store, variant_columns: Mapping[str, Sequence[str]]) -> None:
    """Add columns and values to the stored ones. The call is safe to repeat and writes only if something is new.

    Call it with the writer lock held, after `group_id` is a column of `items`.

    Args:
        store: the database.
        variant_columns: values by column name. Empty values and values above 80 characters are left out. If there are
            more than 1,000 values in all, columns with few values keep all of theirs, and the others keep equal
            numbers, the earliest first.

    Raises:
        StoreError: `items` has no `group_id` column, or cannot be written.
    """
    known = read_product_groups(store)
    if known is None:
        raise StoreError(f"{store.uri} has no column {GROUP_COLUMN}; add it before the values of variants are noted")
    merged = {name: list(values) for name, values in known.variant_columns.items()}
    for name, values in variant_columns.items():
        merged.setdefault(name, []).extend(values)
    limited = limit_values({name: _distinct(values) for name, values in merged.items()})
    if limited != known.variant_columns:
        stored = json.dumps(limited, ensure_ascii=False)
        change = {"path": GROUP_COLUMN, "metadata": {VARIANTS_KEY: stored}}
        store.maintain(store.items, lambda table: table.update_field_metadata(change))


def count_merged_variants(variant_ids: object) -> int:
    """Number of variants in one item: the length of the JSON list in `variant_ids`, else 1."""
    if not isinstance(variant_ids, str):
        return 1
    try:
        parsed = json.loads(variant_ids)
    except ValueError:  # a catalogue's own column of that name
        return 1
    return max(len(parsed), 1) if isinstance(parsed, list) else 1


@lru_cache(maxsize=16)
def _parse(stored: bytes) -> ProductGroups:
    # each search reads it
    return ProductGroups({name: tuple(values) for name, values in json.loads(stored).items()})


def _distinct(values: Sequence[str]) -> tuple[str, ...]:
    """The values without repetitions: "Blue" and "blue " are one value."""
    first: dict[str, str] = {}
    for value in values:
        stripped = " ".join(value.split())
        if stripped and len(stripped) <= MAX_CHARACTERS:
            first.setdefault(stripped.casefold(), stripped)
    return tuple(first.values())


def limit_values(columns: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Keep at most `MAX_VALUES` values of all columns together; columns with few values keep all of theirs."""
    left = MAX_VALUES
    kept = {}
    by_size = sorted(columns, key=lambda name: len(columns[name]))
    for n, name in enumerate(by_size):
        kept[name] = columns[name][: left // (len(by_size) - n)]
        left -= len(kept[name])
    return {name: kept[name] for name in columns}
