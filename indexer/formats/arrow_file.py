"""Arrow IPC files and streams: .arrow, .feather, .ipc, .arrows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from firstsight.errors import CatalogError, first_line
from firstsight.indexer.formats.arrow.conversion import BatchReader, check_column_names
from firstsight.indexer.formats.arrow.left_out import LeftOut
from firstsight.indexer.formats.source import BadRow, Row

FILE_START: Final = b"ARROW1\x00\x00"
_FEATHER_1: Final = b"FEA1"


@dataclass
class ArrowSource:
    """An Arrow IPC file or stream, read batch by batch; the content tells which of the two it is."""

    name: str
    path: Path
    root: Path
    place: str = "row"
    format: str = "Arrow"
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        left_out = LeftOut()
        reader = BatchReader(left_out)
        try:
            yield from enumerate((row for batch in self._batches() for row in reader.rows(batch)), 1)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise CatalogError(f"{self.name}: not a readable Arrow file ({first_line(error)})") from None
        self.notes = left_out.notes()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._read():
            # the file is untrusted: wrong offsets would be read outside the buffers
            batch.validate(full=True)
            yield batch

    def _read(self) -> Iterator[pa.RecordBatch]:
        with self.path.open("rb") as head:
            start = head.read(len(FILE_START))
        if not start:
            raise CatalogError(f"{self.name} is empty; write it again")
        if start.startswith(_FEATHER_1):
            raise CatalogError(f"{self.name} is Feather version 1, which is not supported; write version 2 or Parquet")
        # mapped: a batch may be as large as the file, and stays on disk until its rows are read
        with pa.memory_map(str(self.path)) as file:
            if start == FILE_START:
                with pa.ipc.open_file(file) as batches:
                    check_column_names(batches.schema, self.name)
                    for place in range(batches.num_record_batches):
                        yield batches.get_batch(place)
            else:
                with pa.ipc.open_stream(file) as stream:
                    check_column_names(stream.schema, self.name)
                    yield from stream
