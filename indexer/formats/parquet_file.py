"""Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstsight.errors import CatalogError, first_line
from firstsight.indexer.formats.source import BadRow, Row

PARQUET_ROWS = 1_000
"""Rows per batch from Parquet: small enough for wide rows, large enough to be fast."""

PARQUET_BUFFER = 1 << 20
"""Bytes of each column per read; without it Arrow reads the columns of a row group at once."""


@dataclass(frozen=True)
class ParquetSource:
    """A Parquet file, read in batches."""

    name: str
    path: Path
    place: str = "row"
    format: str = "Parquet"
    notes: Sequence[str] = ()

    @property
    def root(self) -> Path:
        return self.path.parent

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=PARQUET_BUFFER) as file:
                for name, times in Counter(file.schema_arrow.names).items():
                    if times > 1:
                        raise CatalogError(f"{self.name}: {times} columns are called {name!r}; rename all but one")
                for batch in file.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except (
            pa.ArrowException,
            OSError,
            ValueError,
            OverflowError,
        ) as error:  # the last two: times out of range
            raise CatalogError(f"{self.name}: not a readable Parquet file ({first_line(error)})") from None
