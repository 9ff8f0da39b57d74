"""The table `tag_labels`: values of tags that people gave to items, which survive re-indexing.

A row is a label from a file, or a correction of one item. A correction replaces a label; a later file of labels leaves
corrections as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from firstsight.records import Record
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in, quote
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME
from firstsight.understanding.tags.labels.tag_names import LABEL_TABLE as TABLE

LabelKind = Literal["label", "correction"]

_FIELDS: list[pa.Field[Any]] = [
    pa.field("label_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("tag", pa.string(), nullable=False),
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("values", pa.list_(pa.string()), nullable=False),  # empty: the item has no value of this tag
    pa.field("by", pa.string()),
    pa.field("time", TIME, nullable=False),
]
SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True)
class GivenTag(Record):
    """Values of a tag that a person gave to an item."""

    tag: str
    item_id: str
    values: tuple[str, ...]  # empty: the item has none of the tag's values
    kind: LabelKind = "correction"
    by: str = ""
    time: datetime | None = None  # UTC; None before it is stored


def read_given_tags(
    store: Store, tag: str | None = None, item_ids: Sequence[str] | None = None
) -> dict[tuple[str, str], GivenTag]:
    """Read what people gave, by tag and item.

    Args:
        store: the database.
        tag: only of this tag.
        item_ids: only of these items.
    """
    table = open_side_table(store, TABLE)
    if table is None:
        return {}
    condition = None if tag is None else f"tag = {quote(tag)}"
    if item_ids is None:
        search = table.search()
        parts = [(search if condition is None else search.where(condition)).limit(None).to_arrow()]
    else:
        parts = list(store.rows_by_id(table, list(dict.fromkeys(item_ids)), condition=condition))
    rows = [row for part in parts for row in part.to_pylist()]
    return {
        (row["tag"], row["item_id"]): GivenTag(
            row["tag"], row["item_id"], tuple(row["values"]), row["kind"], row["by"] or "", row["time"]
        )
        for row in rows
    }


def tags_with_labels(store: Store) -> set[str]:
    """Return the tags that people gave to some item."""
    table = open_side_table(store, TABLE)
    if table is None:
        return set()
    tags = table.search().select(["tag"]).limit(None).to_arrow()["tag"].to_pylist()
    return {str(tag) for tag in tags}


def write_corrections(store: Store, corrections: Iterable[GivenTag]) -> None:
    """Store corrections, in one commit; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    upsert(store, TABLE, SCHEMA, "label_id", [_row(one, "correction") for one in corrections])


def write_labels(store: Store, tag: str, labels: Mapping[str, Sequence[str]]) -> None:
    """Replace the labels of a tag, except those of corrected items; the caller holds the writer lock.

    Args:
        store: the database.
        tag: name of the tag.
        labels: item id -> values.

    Raises:
        StoreError: the database cannot be written.
    """
    before = read_given_tags(store, tag)
    corrected = {item_id for (_, item_id), given in before.items() if given.kind == "correction"}
    new = [GivenTag(tag, item_id, tuple(values)) for item_id, values in labels.items() if item_id not in corrected]
    upsert(store, TABLE, SCHEMA, "label_id", [_row(one, "label") for one in new])
    delete_given_tags(
        store, tag, [item_id for _, item_id in before if item_id not in labels and item_id not in corrected]
    )


def delete_given_tags(store: Store, tag: str, item_ids: Iterable[str]) -> None:
    """Delete labels and corrections of items; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    table = open_side_table(store, TABLE)
    for part in in_chunks(sorted(set(item_ids))) if table is not None else ():
        try:
            assert table is not None
            table.delete(is_in("label_id", [_key(tag, item_id) for item_id in part]))
        except (OSError, RuntimeError) as error:
            raise unwritable(store, error) from error


def _row(given: GivenTag, kind: LabelKind) -> dict[str, Any]:
    return {
        "label_id": _key(given.tag, given.item_id),
        "tag": given.tag,
        "item_id": given.item_id,
        "kind": kind,
        "values": list(given.values),
        "by": given.by,
        "time": given.time or datetime.now(UTC),
    }


def _key(tag: str, item_id: str) -> str:
    return f"{tag}:{item_id}"  # the name of a tag has no colon
