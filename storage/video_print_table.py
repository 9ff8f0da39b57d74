"""The table `video_prints`: one row per video of an item, with its fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

import pyarrow as pa
from lancedb.table import Table

from firstsight.storage.side_tables import TableLocation, merge_small_files, open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.tables import key_field

TABLE: Final = "video_prints"

SCHEMA: Final = pa.schema(
    [
        key_field("print_id"),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),  # of the video, as in the catalogue
        pa.field("digest", pa.binary(32), nullable=False),  # SHA-256 of the file
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("whole", pa.binary(), nullable=False),  # packed codes, see `media.video_prints`
        pa.field("centre", pa.binary()),
        pa.field("core", pa.binary()),
        pa.field("strip", pa.binary()),
        pa.field("inner", pa.binary()),
        pa.field("sound", pa.binary()),  # codes of the sound track; null if it has none, or it was not read
    ]
)


_READ_ROWS: Final = 10_000


class VideoPrintRow(TypedDict):
    """A row of the table; the field names are those of `SCHEMA`."""

    print_id: str
    item_id: str
    uri: str
    digest: bytes
    duration_s: float
    whole: bytes
    centre: bytes | None
    core: bytes | None
    strip: bytes | None
    inner: bytes | None
    sound: bytes | None


def replace_prints(store: TableLocation, item_ids: Sequence[str], rows: Sequence[VideoPrintRow]) -> None:
    """Replace the rows of these items; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    delete_prints(store, item_ids, keep=[row["print_id"] for row in rows])
    upsert(store, TABLE, SCHEMA, "print_id", rows)
    if rows and (table := open_prints(store)) is not None:
        merge_small_files(store, table)


def delete_prints(store: TableLocation, item_ids: Sequence[str], *, keep: Sequence[str] = ()) -> None:
    """Delete the rows of these items, except for the ids in `keep`; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    table = open_side_table(store, TABLE)
    if table is None:
        return
    for part in in_chunks(item_ids):
        condition = is_in("item_id", part)
        if keep:
            condition = f"{condition} AND NOT ({is_in('print_id', keep)})"
        try:
            if table.count_rows(condition):  # a delete of no rows would commit a version
                table.delete(condition)
        except (OSError, RuntimeError) as error:
            raise unwritable(store, error) from error


def open_prints(store: TableLocation) -> Table | None:
    """Open the table; None if no video has fingerprints."""
    return open_side_table(store, TABLE)


def read_prints(store: TableLocation, item_ids: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of these items, or of all items, in order of `print_id`."""
    table = open_prints(store)
    if table is None:
        return SCHEMA.empty_table()
    if item_ids is None:
        found = [table.search().limit(None).to_arrow()]
    else:
        found = [table.search().where(is_in("item_id", part)).limit(None).to_arrow() for part in in_chunks(item_ids)]
    return pa.concat_tables([SCHEMA.empty_table(), *(rows.select(SCHEMA.names) for rows in found)]).sort_by("print_id")


def count_videos_without_prints(store: TableLocation, views: Table) -> int:
    """Count the videos of items that have frames but no fingerprints; frames of watched streams have none.

    Args:
        views: the table `views`.
    """
    frames = views.search().where("part = 'frame' AND view_id NOT LIKE '%#frame-live-%'").limit(None)
    videos = _videos(frames.select(["item_id", "uri"]).to_batches(_READ_ROWS))
    table = open_prints(store)
    if table is None or not videos:
        return len(videos)
    return len(videos - _videos(table.search().limit(None).select(["item_id", "uri"]).to_batches(_READ_ROWS)))


def _videos(batches: Iterable[pa.RecordBatch]) -> set[tuple[str, str]]:
    return {(str(row["item_id"]), str(row["uri"])) for batch in batches for row in batch.to_pylist()}
