"""The table `timed_products`: products that videos show, with their seconds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict, cast, get_args
from urllib.parse import quote as percent_encode

import pyarrow as pa
from lancedb.table import Table

from firstsight.storage.side_tables import TableLocation, merge_small_files, open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.tables import TIME, key_field

TABLE: Final = "timed_products"

EntrySource = Literal["catalogue", "frames"]
"""Origin of an entry: a column of the catalogue, or a comparison of frames with product pictures."""

EntryState = Literal["proposed", "accepted", "rejected"]
"""State of an entry. Entries of the catalogue are accepted; proposals wait for a person."""

STATES: Final[tuple[EntryState, ...]] = get_args(EntryState)

SCHEMA: Final = pa.schema(
    [
        key_field("entry_id"),
        pa.field("video_id", pa.string(), nullable=False),  # item id of the video
        pa.field("product_id", pa.string(), nullable=False),  # item id of the product, which may be missing
        pa.field("uri", pa.string()),  # of the video, as in the catalogue; null if the item has no video
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64()),  # null if the catalogue gives no end
        pa.field("source", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("frame_id", pa.string()),  # evidence: the view of the best frame, null for the catalogue
        pa.field("time_s", pa.float64()),  # second of that frame
        pa.field("picture_id", pa.string()),  # the view of the product's nearest picture
        pa.field("cosine", pa.float64()),  # of frame and picture
        pa.field("relevance", pa.float64()),
        pa.field("distance", pa.int64()),  # of the PDQ fingerprints in bits; null if one of the two is flat
        pa.field("agreeing", pa.int64()),  # frames of the shot whose nearest product is this one
        pa.field("frames", pa.int64()),  # frames of the shot
        pa.field("made_at", TIME, nullable=False),
        pa.field("decided_by", pa.string()),
        pa.field("decided_at", TIME),
    ]
)


class TimedProductRow(TypedDict):
    """A row of the table; the field names are those of `SCHEMA`."""

    entry_id: str
    video_id: str
    product_id: str
    uri: str | None
    start_s: float
    end_s: float | None
    source: EntrySource
    state: EntryState
    frame_id: str | None
    time_s: float | None
    picture_id: str | None
    cosine: float | None
    relevance: float | None
    distance: int | None
    agreeing: int | None
    frames: int | None
    made_at: datetime
    decided_by: str | None
    decided_at: datetime | None


def entry_id(video_id: str, product_id: str, start_s: float) -> str:
    """The key of an entry: VIDEO#PRODUCT#SECONDS; % and # inside of the ids are percent-encoded."""
    video, product = (_encode(name) for name in (video_id, product_id))
    return f"{video}#{product}#{start_s:.2f}"


def _encode(item_id: str) -> str:
    return "".join(percent_encode(c, safe="") if c in "%#" else c for c in item_id)


def open_timed_products(store: TableLocation) -> Table | None:
    """Open the table; None if no video has timed products."""
    return open_side_table(store, TABLE)


def read_entries(
    store: TableLocation,
    *,
    videos: Collection[str] | None = None,
    products: Collection[str] | None = None,
    entries: Collection[str] | None = None,
    states: Collection[EntryState] = (),
) -> list[TimedProductRow]:
    """Read entries in order of video, second and product.

    Args:
        videos, products, entries: item ids of videos and of products, and keys of entries; an entry is read if one of
            these lists has it. All entries if none of them is given.
        states: only entries in these states; empty for all.
    """
    table = open_timed_products(store)
    if table is None:
        return []
    by_state = [is_in("state", sorted(states))] if states else []
    conditions = [
        " AND ".join([is_in(name, part), *by_state])
        for name, ids in (("video_id", videos), ("product_id", products), ("entry_id", entries))
        for part in in_chunks(sorted(set(ids or ())))
    ]
    if videos is None and products is None and entries is None:
        conditions = [" AND ".join(by_state)]
    found: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        search = table.search().where(condition) if condition else table.search()
        found |= {row["entry_id"]: row for row in search.limit(None).to_arrow().to_pylist()}
    rows = cast("list[TimedProductRow]", list(found.values()))
    return sorted(rows, key=lambda row: (row["video_id"], row["start_s"], row["product_id"]))


def write_entries(store: TableLocation, rows: Sequence[TimedProductRow]) -> None:
    """Insert entries or replace entries of equal key; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    upsert(store, TABLE, SCHEMA, "entry_id", rows)
    if rows and (table := open_timed_products(store)) is not None:
        merge_small_files(store, table)


def delete_entries(store: TableLocation, entry_ids: Sequence[str]) -> None:
    """Delete entries; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    _delete(store, [is_in("entry_id", part) for part in in_chunks(entry_ids)])


def delete_entries_of_items(store: TableLocation, item_ids: Sequence[str]) -> None:
    """Delete the entries of removed videos, and the proposals of removed products; the caller holds the writer lock.

    An entry of the catalogue stays in its video if its product is removed: it counts again if the product comes back,
    and until then no result shows it.

    Raises:
        StoreError: the database cannot be written.
    """
    of_products = "source = 'frames' AND "
    _delete(
        store,
        [f"{is_in('video_id', part)} OR ({of_products}{is_in('product_id', part)})" for part in in_chunks(item_ids)],
    )


def replace_catalogue_entries(store: TableLocation, rows_by_video: Mapping[str, Sequence[TimedProductRow]]) -> None:
    """Replace the entries that the catalogue gives for these videos; the caller holds the writer lock.

    Args:
        rows_by_video: all entries of the catalogue by item id; empty for an item without any.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = [row for rows in rows_by_video.values() for row in rows]
    kept = {row["entry_id"] for row in rows}
    stored = read_entries(store, videos=rows_by_video)
    delete_entries(
        store, [row["entry_id"] for row in stored if row["source"] == "catalogue" and row["entry_id"] not in kept]
    )
    write_entries(store, rows)


def _delete(store: TableLocation, conditions: Sequence[str]) -> None:
    table = open_timed_products(store)
    if table is None:
        return
    try:
        for condition in conditions:
            if table.count_rows(condition):  # a delete of no rows would commit a version
                table.delete(condition)
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error
