"""Scoring: write the best known values of tags into the columns of items, in flat memory, safe to repeat.

Rows that would not change are not written, because written rows leave the indexes until the next upkeep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from firstsight.errors import TagError
from firstsight.records import Record
from firstsight.storage.facts.fact_columns import TAG_PREFIX, add_fact_columns
from firstsight.storage.sql.conditions import quote_name
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.tag_names import tag_fields
from firstsight.understanding.tags.models.item_vectors import ItemVectors, read_item_vectors
from firstsight.understanding.tags.tag_values import TagState, best_tags, require_tag, tag_columns

BATCH: Final = 2_000

VERSION_KEY: Final = "firstsight:tag_version"
"""Key of the version that has scored all items, in the metadata of the field `fact_tag_NAME`."""


@dataclass(frozen=True)
class TagScoreReport(Record):
    """Result of a scoring."""

    tags: tuple[str, ...]
    items: int  # looked at
    written: int  # items whose columns have changed
    by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # tag -> person, catalogue, predicted, unknown


def score_tags(
    store: Store,
    *,
    tags: Sequence[str] | None = None,
    everything: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> TagScoreReport:
    """Write the columns of tags; the caller holds the writer lock.

    Args:
        store: the database.
        tags: names of tags; None for all.
        everything: look at all items. By default, only at items without a value of the tag's source, or at all items
            if another version has come into use since the last scoring.
        on_progress: called with the number of items looked at, and the number to look at.

    Raises:
        TagError: there is no such tag, or no tag at all.
        StoreError: the database cannot be written.
    """
    state = TagState.read(store)
    chosen = state.tags if tags is None else [require_tag(state, tag) for tag in tags]
    if not chosen:
        raise TagError(f"{store.uri} has no tags yet; train one: firstsight tags train LABELS.csv")
    add_fact_columns(store, [one for tag in chosen for one in tag_fields(tag)])
    new = [tag for tag in chosen if everything or _scored_version(store, tag) != _version(state, tag)]
    condition = None if new else " OR ".join(f"{quote_name(f'{TAG_PREFIX}{tag}_by')} IS NULL" for tag in chosen)
    total = store.items.count_rows(condition)
    items = written = 0
    counts: dict[str, dict[str, int]] = {tag: {} for tag in chosen}
    for rows in _batches(store, state, chosen, condition):
        changed = _score_batch(store, state, chosen, rows, counts)
        write_columns(store, changed)
        items, written = items + len(rows), written + len(changed)
        on_progress(items, total)
    for tag in new:
        change = {"path": f"{TAG_PREFIX}{tag}", "metadata": {VERSION_KEY: str(_version(state, tag))}}
        store.maintain(store.items, lambda table, change=change: table.update_field_metadata(change))  # type: ignore[misc]
    return TagScoreReport(tuple(chosen), items, written, counts)


def write_columns(store: Store, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """Write columns of facts of items that exist, as whole rows in one commit; the caller holds the writer lock.

    Args:
        store: the database, whose items have the columns.
        columns: item id -> values by name of the column; other columns stay.

    Raises:
        StoreError: the database cannot be written.
    """
    stored = list(store.rows_by_id(store.items, list(columns)))
    if not stored:
        return
    rows = pa.concat_tables(stored)  # kept as Arrow: vectors as Python lists take eight times the memory
    values = [columns[str(item_id)] for item_id in rows["item_id"].to_pylist()]
    for name in dict.fromkeys(name for of_item in values for name in of_item):
        place, kind = rows.schema.get_field_index(name), rows.schema.field(name)
        before = rows[name].to_pylist()
        cells = [of_item.get(name, old) for of_item, old in zip(values, before, strict=True)]
        rows = rows.set_column(place, kind, pa.array(cells, kind.type))
    store.merge_item_rows(rows)


def vectors_by_tag(
    store: Store, state: TagState, tags: Sequence[str], item_ids: Sequence[str]
) -> dict[str, ItemVectors]:
    """Read vectors of items for each tag that predicts."""
    vectors: dict[str, ItemVectors] = {}
    for tag in tags:
        model = state.usable(tag)
        if model is not None and model.means is not None:
            vectors[tag] = read_item_vectors(store, item_ids, model.means)
    return vectors


def source_columns(store: Store, state: TagState, tags: Sequence[str]) -> list[str]:
    """Columns of the catalogue that tags were learned from."""
    columns = {model.source.column for tag, model in state.models.items() if tag in tags} - {None}
    return sorted(str(name) for name in columns if name in store.items.schema.names)


def _batches(
    store: Store, state: TagState, tags: Sequence[str], condition: str | None
) -> Iterator[list[dict[str, Any]]]:
    names = ["item_id", *source_columns(store, state, tags), *(one.name for tag in tags for one in tag_fields(tag))]
    search = store.items.search().select(names).limit(None)
    found = search if condition is None else search.where(condition)
    ids = [str(item_id) for batch in found.to_batches(10_000) for item_id in batch["item_id"].to_pylist()]
    for start in range(0, len(ids), BATCH):
        yield [
            row
            for part in store.rows_by_id(store.items, ids[start : start + BATCH], columns=names)
            for row in part.to_pylist()
        ]


def _score_batch(
    store: Store,
    state: TagState,
    tags: Sequence[str],
    rows: list[dict[str, Any]],
    counts: dict[str, dict[str, int]],
) -> dict[str, dict[str, Any]]:
    """Return the columns of the items that change."""
    ids = [row["item_id"] for row in rows]
    found = best_tags(store, state, ids, rows, vectors_by_tag(store, state, tags, ids), tags)
    changed: dict[str, dict[str, Any]] = {}
    for row, best in zip(rows, found, strict=True):
        for tag, one in best.items():
            source = one.by if one.by is not None and one.values else "unknown"
            counts[tag][source] = counts[tag].get(source, 0) + 1
        columns = tag_columns(best)
        if any(not _equal(row.get(name), value) for name, value in columns.items()):
            changed[row["item_id"]] = columns
    return changed


def _equal(stored: Any, value: Any) -> bool:
    if isinstance(stored, float) and isinstance(value, float):
        return abs(stored - value) < 1e-5  # stored as float32
    return bool(stored == value)


def _version(state: TagState, tag: str) -> int:
    model = state.usable(tag)
    return 0 if model is None else model.version


def _scored_version(store: Store, tag: str) -> int:
    name = f"{TAG_PREFIX}{tag}"
    metadata = store.items.schema.field(name).metadata or {}
    return int(metadata.get(VERSION_KEY.encode(), b"-1"))
