"""Stream the shots of videos as Arrow record batches, in constant memory, from one version of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import open_address
from firstsight.retrieval.export.row_stream import (
    BATCH_ROWS,
    VECTOR,
    ExportTable,
    RowSelection,
    RowStream,
    export_metadata,
    read_rows,
    reading,
    row_ids,
    with_vector,
)
from firstsight.retrieval.export.shot_thumbnails import ShotFrame, ShotThumbnails
from firstsight.retrieval.moments import Span, compute_frame_spans
from firstsight.retrieval.results import locate
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.live_pictures import read_live_pictures
from firstsight.storage.store import Store
from firstsight.storage.tables import vector_type

ITEMS_PER_READ: Final = 100
"""Items whose frames are read at once."""

DECODERS: Final = 2
"""Videos that are decoded at the same time for thumbnails."""

_FIELDS: Final[tuple[pa.Field[Any], ...]] = (
    pa.field("item_id", pa.string()),
    pa.field("uri", pa.string()),
    pa.field("shot", pa.int32()),
    pa.field("start_s", pa.float64()),
    pa.field("end_s", pa.float64()),
    pa.field("view_id", pa.string()),
    pa.field("time_s", pa.float64()),
    pa.field("frames", pa.int32()),
    pa.field("fingerprint", pa.string()),
    pa.field("thumbnail", pa.binary()),
)

SHOT_COLUMNS: Final = tuple(field.name for field in _FIELDS)
"""Columns of shots, besides the vector."""


@dataclass(frozen=True)
class _Shot:
    item_id: str
    uri: str  # as in the catalogue
    catalog_dir: str
    number: int
    span: Span
    middle: dict[str, Any]  # row of the view that represents the shot
    frames: int
    vector: np.ndarray[Any, np.dtype[np.float32]]


class ShotStream:
    """The shots of the selected items as they are now: one row for each shot of each video.

    A frame without the bounds of a shot, such as of a live stream, is a row of its own, with the stretch that it
    represents.

    Attributes:
        snapshot: the tables at the version of the stream.
        schema: the schema of the batches; its metadata names the encoder.
        unreadable_videos: number of videos without thumbnails so far, because they could not be read.

    Args:
        store: the database.
        selection: rows and columns, with of="shots".
        policy: limits of the videos that thumbnails are read from.

    Raises:
        QueryError: a column is unknown, no column is selected, or the filter is wrong.
        StoreError: the tables cannot be read.
    """

    def __init__(self, store: Store, selection: RowSelection, policy: MediaPolicy | None = None) -> None:
        if selection.parts:
            raise QueryError("parts choose views; leave them out, or export views")
        self.selection = selection
        self._items = RowStream(
            store, RowSelection(where=selection.where, include_blocked=selection.include_blocked, vectors=False)
        )
        self.snapshot = self._items.snapshot
        self._policy = policy or MediaPolicy()
        names = self._choose_columns(selection)
        fields = [*_FIELDS, pa.field(VECTOR, vector_type(store.spec.dim))]
        by_name = {field.name: field for field in fields}
        self.schema = pa.schema([by_name[name] for name in names], metadata=export_metadata(self.snapshot, "shots"))
        self.unreadable_videos = 0

    @staticmethod
    def _choose_columns(selection: RowSelection) -> list[str]:
        known = [*SHOT_COLUMNS, VECTOR]
        default = [name for name in SHOT_COLUMNS if selection.thumbnails or name != "thumbnail"]
        names = list(dict.fromkeys(default if selection.columns is None else selection.columns))
        for name in names:
            if name not in known:
                raise QueryError(f"shots have no column {name!r}; the columns are {', '.join(known)}")
        return with_vector(names, selection, known)

    def reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """A reader of all batches; arguments and exceptions as for `RowStream.reader`."""
        if batch_rows < 1:
            raise QueryError(f"batch_rows is {batch_rows}; give 1 or more")
        return pa.RecordBatchReader.from_batches(self.schema, self.batches(batch_rows))

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield all batches, in the order of the items' table, then by video and second."""
        with reading(self.snapshot), ExitStack() as stack:
            thumbnails: ShotThumbnails | None = None
            if "thumbnail" in self.schema.names:
                thumbnails = stack.enter_context(ShotThumbnails(self.snapshot.uri, self._policy, DECODERS))
                threads = stack.enter_context(ThreadPoolExecutor(DECODERS, "firstsight-thumbnails"))
            for ids in row_ids(self.snapshot.items, self._items.condition, ITEMS_PER_READ):
                shots = self._shots(read_rows(self.snapshot.items, ids, ["item_id", "catalog_dir"]))
                pictures = [] if thumbnails is None else self._pictures(shots, thumbnails, threads)
                self.unreadable_videos = 0 if thumbnails is None else thumbnails.unreadable
                for start in range(0, len(shots), batch_rows):
                    part = slice(start, start + batch_rows)
                    yield self._batch(shots[part], pictures[part])

    def expected_rows(self) -> int | None:
        """None: the number of shots is not known before they are read."""
        return None

    def blocked_items(self) -> int:
        """Number of items that are left out because a safety decision blocks them."""
        return self._items.blocked_items()

    def _shots(self, items: pa.Table) -> list[_Shot]:
        folders: dict[str, str] = {row["item_id"]: row["catalog_dir"] for row in items.to_pylist()}
        table = self.snapshot.view_rows(list(folders))
        if not len(table):
            return []
        table = table.filter(pa.array([part == "frame" for part in table["part"].to_pylist()], pa.bool_()))
        vectors = vectors_of_column(table["vector"].combine_chunks())
        videos: dict[tuple[str, str], list[int]] = {}
        views = table.drop_columns(["vector"]).to_pylist()
        for n, view in enumerate(views):
            videos.setdefault((view["item_id"], view["uri"]), []).append(n)
        order = {item_id: n for n, item_id in enumerate(folders)}
        shots: list[_Shot] = []
        for item_id, uri in sorted(videos, key=lambda key: (order[key[0]], key[1])):
            places = sorted(videos[item_id, uri], key=lambda n: views[n]["time_s"])
            for number, (span, members) in enumerate(_group(places, views)):
                middle = min(members, key=lambda n: abs(views[n]["time_s"] - (span[0] + span[1]) / 2))
                mean = vectors[members].mean(axis=0)
                vector = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
                shots.append(_Shot(item_id, uri, folders[item_id], number, span, views[middle], len(members), vector))
        return shots

    def _pictures(
        self, shots: Sequence[_Shot], thumbnails: ShotThumbnails, threads: ThreadPoolExecutor
    ) -> list[bytes | None]:
        """The thumbnails of shots; each video is opened once."""
        stored = read_live_pictures(self.snapshot, [shot.middle["view_id"] for shot in shots])
        videos: dict[tuple[str, str, str], list[ShotFrame]] = {}
        for shot in shots:
            frame = ShotFrame(shot.middle["time_s"], stored.get(shot.middle["view_id"]))
            videos.setdefault((shot.item_id, shot.uri, shot.catalog_dir), []).append(frame)
        jobs = [threads.submit(thumbnails.read, uri, folder, frames) for (_, uri, folder), frames in videos.items()]
        return [jpeg for job in jobs for jpeg in job.result()]

    def _batch(self, shots: Sequence[_Shot], pictures: Sequence[bytes | None]) -> pa.RecordBatch:
        values: dict[str, list[Any]] = {
            "item_id": [shot.item_id for shot in shots],
            "uri": [locate(open_address(shot.uri, self.snapshot.uri), shot.catalog_dir) for shot in shots],
            "shot": [shot.number for shot in shots],
            "start_s": [shot.span[0] for shot in shots],
            "end_s": [shot.span[1] for shot in shots],
            "view_id": [shot.middle["view_id"] for shot in shots],
            "time_s": [shot.middle["time_s"] for shot in shots],
            "frames": [shot.frames for shot in shots],
            "fingerprint": [code and code.hex() for code in (shot.middle["fingerprint"] for shot in shots)],
            "thumbnail": list(pictures),
            VECTOR: [shot.vector for shot in shots],
        }
        return pa.RecordBatch.from_arrays(
            [pa.array(values[field.name], field.type) for field in self.schema], schema=self.schema
        )


def open_stream(store: Store, selection: RowSelection, policy: MediaPolicy | None = None) -> RowStream | ShotStream:
    """Open the stream of a selection of any table; arguments and exceptions as for the two streams."""
    if selection.of not in get_args(ExportTable):
        raise QueryError(f"of is {selection.of!r}; give items, views or shots")
    return ShotStream(store, selection, policy) if selection.of == "shots" else RowStream(store, selection)


def _group(places: Sequence[int], views: Sequence[dict[str, Any]]) -> list[tuple[Span, list[int]]]:
    """The shots of a video with the places of their frames, in order of time."""
    bounds = [None if views[n]["start_s"] is None else (views[n]["start_s"], views[n]["end_s"]) for n in places]
    spans = compute_frame_spans([views[n]["time_s"] for n in places], bounds)
    shots: dict[Span, list[int]] = {}
    for n, bound, span in zip(places, bounds, spans, strict=True):
        shots.setdefault(bound or span, []).append(n)
    return sorted(shots.items())
