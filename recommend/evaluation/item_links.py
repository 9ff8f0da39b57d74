"""Links between items from a file, as ground truth of similarity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import CatalogError, QueryError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow
from firstsight.recommend.items import ItemSpace, Places
from firstsight.storage.facts.item_values import find_item_value, known_values, read_item_values
from firstsight.storage.store import Store

COLUMNS = (("from", "to"), ("item_id", "linked_item_id"), ("parent", "linked_parent"))
"""Pairs of columns that a file may have for the two ends of a link; the column `kind` is optional."""


@dataclass(frozen=True)
class Links:
    """Links between groups of items; without a column for groups, every item is its own group.

    Attributes:
        groups: (g,) names, sorted.
        group_of: (n,) the group of every item of the space; -1 for an item without a vector or without a group.
        pairs: distinct (from, to) groups for each kind of link, in the order of the file.
        rows: number of rows in the file.
        unknown: number of rows with an unknown group, or with a link of a group to itself.
    """

    groups: NDArray[np.object_]
    group_of: Places
    pairs: Mapping[str, list[tuple[int, int]]]
    rows: int
    unknown: int


def read_links(file: str, store: Store, space: ItemSpace, *, column: str | None = None) -> Links:
    """Read pairs of linked items.

    Args:
        file: CSV, TSV, JSON Lines or Parquet with one of the pairs of `COLUMNS`, and optionally `kind`.
        store: the database.
        space: its items.
        column: column of the catalogue, or fact, whose values the file links; item ids by default. Items with the same
            value are one group.

    Raises:
        CatalogError: the file cannot be read, has none of these columns, or has no link between two known groups.
        QueryError: there is no such column or fact of texts.
    """
    groups, group_of = _groups(store, space, column)
    place = {name: n for n, name in enumerate(groups.tolist())}
    pairs: dict[str, dict[tuple[int, int], None]] = {}
    rows = unknown = 0
    ends: tuple[str, str] | None = None
    source = open_source(file)
    for number, row in source.rows():
        rows += 1
        if isinstance(row, BadRow):
            raise CatalogError(f"{file}, {source.place} {number}: {row}")
        ends = ends or _end_columns(file, row)
        source_name, target_name = (str(row.get(name) or "").strip() for name in ends)
        if not source_name or not target_name:
            raise CatalogError(f"{file}, {source.place} {number}: {ends[0]} or {ends[1]} is empty; a link has two ends")
        start, end = place.get(source_name, -1), place.get(target_name, -1)
        if start < 0 or end < 0 or start == end:
            unknown += 1
            continue
        pairs.setdefault(str(row.get("kind") or "link"), {})[start, end] = None
    if not pairs:
        values = "item ids" if column is None else f"values of {column}"
        raise CatalogError(
            f"none of the {rows} links of {file} connects two {values} of the database; name the column of the "
            "catalogue that the links use with --column"
        )
    return Links(groups, group_of, {kind: list(ends) for kind, ends in pairs.items()}, rows, unknown)


def _groups(store: Store, space: ItemSpace, column: str | None) -> tuple[NDArray[np.object_], Places]:
    """Names of groups with at least one vector, sorted, and the group of every item (-1 for none)."""
    names = dict(_values(store, column)) if column is not None else {}
    item_groups = space.item_ids if column is None else [names.get(item_id) for item_id in space.item_ids.tolist()]
    usable = [name if known else None for name, known in zip(item_groups, space.has_vector, strict=True)]
    groups = np.array(sorted({name for name in usable if name is not None}), dtype=object)
    place = {name: n for n, name in enumerate(groups.tolist())}
    return groups, np.array([-1 if name is None else place[name] for name in usable], dtype=np.int64)


def _values(store: Store, column: str) -> Iterator[tuple[str, str | None]]:
    texts = sorted(name for name, kind in store.column_kinds().items() if kind == "text")
    value = find_item_value(store, column, texts)
    if value is None or value.kind != "text":
        raise QueryError(
            f"the catalogue has no column {column!r} of texts; its columns of texts: {known_values(store, texts)}"
        )
    return read_item_values(store, value)


def _end_columns(file: str, row: Mapping[str, object]) -> tuple[str, str]:
    found = next((pair for pair in COLUMNS if set(pair) <= row.keys()), None)
    if found is None:
        pairs = ", ".join(" and ".join(pair) for pair in COLUMNS)
        raise CatalogError(f"{file} has the columns {', '.join(row)[:300]}; links need one of: {pairs}")
    return found
