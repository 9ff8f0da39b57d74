"""Links between items, read from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import CatalogError, QueryError
from firstsight.indexer.sources import BadRow, open_source
from firstsight.recommend.items import ItemSpace, Places
from firstsight.storage.store import Store

COLUMNS = (("from", "to"), ("item_id", "linked_item_id"), ("parent", "linked_parent"))
"""Names of the two ends of a link, by any pair of which a file may have them; `kind` is optional beside them."""


@dataclass(frozen=True)
class Links:
    """Links between groups of items; a group is one item where nothing else was asked for.

    Attributes:
        groups: (g,) names, sorted.
        group_of: (n,) the group of every item of the space, -1 for an item without a vector or without a group.
        pairs: (from, to) groups for each kind of link, in the order of the file, none twice.
        rows: of the file.
        unknown: rows with an end that is no group of the database, or that link a group to itself.
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
        column: of the catalogue, whose values the two ends are; item ids by default. Items of one value are a group.

    Raises:
        CatalogError: the file cannot be read, has none of the columns, or no link between two known groups.
        QueryError: there is no such column in the catalogue.
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
        one, other = (str(row.get(name) or "").strip() for name in ends)
        if not one or not other:
            raise CatalogError(f"{file}, {source.place} {number}: {ends[0]} or {ends[1]} is empty; a link has two ends")
        start, end = place.get(one, -1), place.get(other, -1)
        if start < 0 or end < 0 or start == end:
            unknown += 1
            continue
        pairs.setdefault(str(row.get("kind") or "link"), {})[start, end] = None
    if not pairs:
        what = "item ids" if column is None else f"values of {column}"
        raise CatalogError(
            f"none of the {rows} links of {file} is between two {what} of the database; name the catalogue's column "
            "that they are values of with --column"
        )
    return Links(groups, group_of, {kind: list(some) for kind, some in pairs.items()}, rows, unknown)


def _groups(store: Store, space: ItemSpace, column: str | None) -> tuple[NDArray[np.object_], Places]:
    """Names of groups with at least one vector, sorted, and the group of every item."""
    names = dict(_values(store, column)) if column is not None else {}
    of = space.item_ids if column is None else [names.get(item_id) for item_id in space.item_ids.tolist()]
    usable = [name if there and name is not None else None for name, there in zip(of, space.has_vector, strict=True)]
    groups = np.array(sorted({name for name in usable if name is not None}), dtype=object)
    place = {name: n for n, name in enumerate(groups.tolist())}
    return groups, np.array([-1 if name is None else place[name] for name in usable], dtype=np.int64)


def _values(store: Store, column: str) -> Iterator[tuple[str, str | None]]:
    own = store.column_kinds()
    if own.get(column) != "text":
        texts = sorted(name for name, kind in own.items() if kind == "text")
        raise QueryError(
            f"there is no column {column!r} of texts in the catalogue; such are {', '.join(texts) or 'none'}"
        )
    for batch in store.items.search().select(["item_id", column]).limit(None).to_batches(10_000):
        yield from zip(batch["item_id"].to_pylist(), batch[column].to_pylist(), strict=True)


def _end_columns(file: str, row: Mapping[str, object]) -> tuple[str, str]:
    found = next((pair for pair in COLUMNS if set(pair) <= row.keys()), None)
    if found is None:
        pairs = ", ".join(f"{one} and {other}" for one, other in COLUMNS)
        raise CatalogError(f"{file} has the columns {', '.join(row)[:300]}; links need one of: {pairs}")
    return found
