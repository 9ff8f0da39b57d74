"""Rows and vectors of a database for other libraries, in the Python API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.keywords import check_texts
from firstsight.retrieval.export.row_stream import BATCH_ROWS, RowSelection
from firstsight.retrieval.export.shot_stream import open_stream
from firstsight.retrieval.export.vector_matrix import read_vectors
from firstsight.storage.tables import Part

if TYPE_CHECKING:
    import pyarrow as pa

    from firstsight.retrieval.export.row_stream import ExportTable
    from firstsight.retrieval.export.vector_matrix import VectorMatrix


class Export:
    """Rows and vectors for a model of one's own, or for another library. No encoder is loaded."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def to_arrow(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        vectors: bool = True,
        of: ExportTable = "items",
        *,
        parts: Sequence[Part] = (),
        include_blocked: bool = False,
        batch_rows: int = BATCH_ROWS,
        thumbnails: bool = True,
    ) -> pa.RecordBatchReader:
        """Stream items, views or shots as Arrow record batches, in constant memory.

        The rows are those of the call: later writes, removals and upkeep change nothing for six hours. They come in
        the order of the table. Times are timestamps in UTC with microseconds, and vectors are
        FixedSizeList<float32, dim> of unit length, null for an item of which nothing could be encoded. The metadata of
        the schema has `firstsight:encoder`, `:fingerprint`, `:dim`, `:version` and `:table`.

        Args:
            columns: names of columns, in this order. By default, for items: item_id, kind, title, text, created_at,
                starts_at, expires_at, the catalogue's own columns, the safety columns after the first scoring, and
                facts: `colour`, `colours` (a struct), `tags` (a struct of all tags). `colours.red` and
                `indexed_at` are there by name. By default, for views: view_id, item_id, part, uri, time_s, start_s,
                end_s and fingerprint, with the values of `Database.get`; columns of their items are there by name.
            where: a condition over the columns of items, as in a search; of="views" gives the views of these items.
            vectors: add the column `vector` at the end, if `columns` does not name it.
            of: "items"; "views" for one row per encoded title, picture and video frame; or "shots" for one row per
                shot of a video: item_id, uri, shot (from 0), start_s, end_s, view_id and time_s of the frame nearest to
                its middle, frames, the fingerprint of that frame, thumbnail, and the vector: the mean of its frames,
                of unit length.
            parts: only views of these parts: "title", "image", "frame", "transcript". By default all.
            include_blocked: include items that a safety decision blocks, and their views. By default they are left out,
                as in a search.
            batch_rows: maximum number of rows in a batch.
            thumbnails: for shots, read a JPEG of at most 160 x 160 pixels from each video; null if the video cannot be
                read now. Frames of live streams have the pictures that `watch` stored.

        Returns:
            A reader, to be read once, by one thread.

        Raises:
            QueryError: a column, table or part is unknown, no column is left, or the filter is wrong.
            MissingDatabaseError: there is no database.
            StoreError: the tables cannot be read; also while reading, if the files are removed.
        """
        if columns is not None:
            check_texts("columns", columns)
        check_texts("parts", parts)
        selection = RowSelection(of, columns, where, vectors, parts, include_blocked, thumbnails)
        return open_stream(self._connection.open(), selection, self._connection.policy).reader(batch_rows)

    def vectors(
        self,
        where: str | None = None,
        of: ExportTable = "items",
        *,
        parts: Sequence[Part] = (),
        include_blocked: bool = False,
    ) -> VectorMatrix:
        """Read the vectors of items or views into one matrix: `ids, matrix = db.vectors()`.

        It takes dim * 4 bytes per row, in one allocation.

        Args:
            where, of, parts, include_blocked: as for `to_arrow`.

        Returns:
            `ids` of the items or views, sorted, and `matrix`: (n, dim) float32 with unit rows. Items without a vector
            are left out.

        Raises:
            QueryError: the table or a part is unknown, or the filter is wrong.
            MissingDatabaseError: there is no database.
            StoreError: the tables cannot be read.
        """
        check_texts("parts", parts)
        selection = RowSelection(of, where=where, parts=parts, include_blocked=include_blocked)
        return read_vectors(self._connection.open(), selection)
