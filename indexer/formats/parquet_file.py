"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstsight.errors import CatalogError, first_line
from firstsight.indexer.formats.source import BadRow, Row

PARQUET_BUFFER = 1 << 20
"""Bytes of each column per read; without it Arrow reads the columns of a row group at once."""


@dataclass
class ParquetSource:
    """A Parquet file, read in batches."""

    name: str
    path: Path
    root: Path
    place: str = "row"
    format: str = "Parquet"
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from firstsight.indexer.formats.arrow.conversion import BatchReader, check_column_names, rows_per_batch
        from firstsight.indexer.formats.arrow.left_out import LeftOut

        left_out = LeftOut()
        reader = BatchReader(left_out)
        try:
            # INT96 holds years up to 9999, of which nanoseconds would make wrong ones
            with pq.ParquetFile(
                self.path, pre_buffer=False, buffer_size=PARQUET_BUFFER, coerce_int96_timestamp_unit="us"
            ) as file:
                check_column_names(file.schema_arrow, self.name)
                groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
                size = min((rows_per_batch(group.num_rows, group.total_byte_size) for group in groups), default=1)
                batches = file.iter_batches(batch_size=size, use_threads=False)
                yield from enumerate((row for batch in batches for row in reader.rows(batch)), 1)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise CatalogError(f"{self.name}: not a readable Parquet file ({first_line(error)})") from None
        self.notes = left_out.notes()
