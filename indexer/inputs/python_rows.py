"""Sources of rows in memory: lists of dicts, data frames, Arrow tables, streams and datasets.

No other library is imported for them: most have Arrow's PyCapsule interface (`__arrow_c_stream__`). A catalogue is read
twice, so what can be read only once is copied to a temporary Arrow file, or refused.
"""

from __future__ import annotations

import itertools
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from firstsight.errors import CatalogError, first_line
from firstsight.indexer.formats.arrow.conversion import BATCH_ROWS, BatchReader, check_column_names
from firstsight.indexer.formats.arrow.left_out import LeftOut
from firstsight.indexer.formats.source import MEMORY, BadRow, Row, Source
from firstsight.indexer.inputs.python_values import plain_value

KINDS = (
    "a file or folder, a list of dicts, a pandas or polars DataFrame, an Arrow table, reader or dataset, or a Dataset "
    "of the datasets library"
)


class BatchSource:
    """Rows of Arrow batches that can be read again.

    Args:
        batches: starts a new pass.
        labels: names of numbers, by column, as a ClassLabel of the datasets library has them.
    """

    name = MEMORY
    place = "row"

    def __init__(
        self,
        batches: Callable[[], Iterable[pa.RecordBatch]],
        root: Path,
        format: str,
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.root = root
        self.format = format
        self.notes: Sequence[str] = ()
        self._batches = batches
        self._labels = labels or {}

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        left_out = LeftOut()
        reader = BatchReader(left_out)
        try:
            rows = (self._with_labels(row) for batch in self._batches() for row in reader.rows(batch))
            yield from enumerate(rows, 1)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{self.name} ({self.format}) cannot be read: {first_line(error)}") from error
        self.notes = left_out.notes()

    def _with_labels(self, row: Row) -> Row:
        if not self._labels:
            return row
        named = {
            column: names[value] if isinstance(value := row.get(column), int) and 0 <= value < len(names) else None
            for column, names in self._labels.items()
        }
        return {**row, **named}


class PythonSource:
    """Rows that are dicts.

    Args:
        rows: starts a new pass.
    """

    name = MEMORY
    place = "row"

    def __init__(self, rows: Callable[[], Iterable[object]], root: Path, format: str) -> None:
        self.root = root
        self.format = format
        self.notes: Sequence[str] = ()
        self._rows = rows

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        left_out = LeftOut()
        for number, row in enumerate(self._rows(), 1):
            yield number, _convert(row, left_out)
        self.notes = left_out.notes()


def source_of_rows(rows: object, *, root: Path | None = None) -> Source:
    """Make a source of rows in memory.

    Args:
        rows: a list of dicts or another iterable that can be read twice; a pandas or polars DataFrame, a polars
            LazyFrame; an Arrow table, record batch, reader or dataset; a Dataset of the datasets library; any object
            with `__arrow_c_stream__`.
        root: base folder of relative media paths; the working directory by default.

    Raises:
        CatalogError: the object is of another kind, can be read only once, or has two columns of one name.
    """
    root = root or Path.cwd()
    kind = _kind(rows)
    if isinstance(rows, Mapping):
        raise _refuse_mapping(rows, kind)
    if hasattr(rows, "collect_schema") and hasattr(rows, "collect"):  # a query of polars, computed once
        rows = cast("Any", rows).collect()
    if hasattr(rows, "with_format") and hasattr(rows, "features") and hasattr(rows, "__len__"):
        return _dataset(rows, root, kind)
    if isinstance(rows, pa.RecordBatch):
        return _batches(lambda: [rows], rows.schema, root, kind)
    if isinstance(rows, pa.Table):
        return _batches(lambda: rows.to_batches(max_chunksize=BATCH_ROWS), rows.schema, root, kind)
    if hasattr(rows, "to_batches") and hasattr(rows, "get_fragments"):
        dataset = cast("Any", rows)
        return _batches(lambda: dataset.to_batches(batch_size=BATCH_ROWS), dataset.schema, root, kind)
    if hasattr(rows, "columns") and hasattr(rows, "shape"):
        return _data_frame(cast("Any", rows), root, kind)
    if hasattr(rows, "__arrow_c_stream__"):
        return _spooled(cast("Any", rows), root, kind)
    if isinstance(rows, str | bytes | bytearray) or not isinstance(rows, Iterable):
        raise CatalogError(f"rows of type {type(rows).__name__} cannot be indexed; give {KINDS}")
    if iter(rows) is rows:
        raise CatalogError(
            f"a {type(rows).__name__} can be read only once, but rows are read twice; give a list: list(rows)"
        )
    return PythonSource(lambda: rows, root, kind)


def _kind(rows: object) -> str:
    package = type(rows).__module__.partition(".")[0]
    name = type(rows).__name__
    return name if package == "builtins" else f"{package} {name}"


def _refuse_mapping(rows: Mapping[Any, Any], kind: str) -> CatalogError:
    first = next(iter(rows), None)
    if hasattr(rows.get(first), "with_format"):
        return CatalogError(f"a {kind} has several splits; give one of them, such as rows[{first!r}]")
    return CatalogError("rows cannot be one dict; give a list of dicts, one per item: [{'item_id': …, 'title': …}]")


def _batches(batches: Callable[[], Iterable[pa.RecordBatch]], schema: pa.Schema, root: Path, kind: str) -> BatchSource:
    check_column_names(schema, f"{MEMORY} ({kind})")
    return BatchSource(batches, root, kind)


def _dataset(rows: Any, root: Path, kind: str) -> BatchSource:
    """Read a Dataset of the datasets library: pictures as they are stored, class labels by their names."""
    arrow = rows.with_format("arrow")
    labels = {name: list(feature.names) for name, feature in rows.features.items() if hasattr(feature, "int2str")}

    def batches() -> Iterator[pa.RecordBatch]:
        for table in arrow.iter(batch_size=100):  # with pictures inside, a thousand rows may be a gigabyte
            yield from table.to_batches()

    return BatchSource(batches, root, kind, labels)


def _data_frame(frame: Any, root: Path, kind: str) -> Source:
    """Read a data frame through Arrow, or row by row if a column holds objects that Arrow cannot."""
    for place, column in enumerate(names := list(frame.columns)):
        if column in names[:place]:
            raise CatalogError(f"{MEMORY} ({kind}): two columns are called {column!r}; rename one")
    if any(str(kind) == "Object" for kind in getattr(frame, "dtypes", ())):  # polars gives Arrow the objects' addresses
        return PythonSource(lambda: _rows_of_frame(frame), root, kind)
    try:
        table = pa.table(frame)
    except BaseException as error:  # Arrow's and pandas' errors differ; polars panics
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return PythonSource(lambda: _rows_of_frame(frame), root, kind)
    return _batches(lambda: table.to_batches(max_chunksize=BATCH_ROWS), table.schema, root, kind)


def _rows_of_frame(frame: Any) -> Iterator[object]:
    if hasattr(frame, "iter_rows"):  # polars
        yield from frame.iter_rows(named=True)
        return
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    for start in range(0, len(frame), BATCH_ROWS):
        yield from frame.iloc[start : start + BATCH_ROWS].to_dict("records")


def _spooled(rows: Any, root: Path, kind: str) -> BatchSource:
    """Copy a stream of batches to a temporary file, because it can be read only once."""
    copy = tempfile.NamedTemporaryFile(prefix="firstsight-rows-", suffix=".arrow")  # noqa: SIM115
    try:
        with pa.RecordBatchReader.from_stream(rows) as reader:
            schema = reader.schema
            with pa.ipc.new_file(cast("Any", copy), schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
        copy.flush()
    except (pa.ArrowException, OSError, ValueError) as error:
        copy.close()
        raise CatalogError(
            f"the {kind} cannot be copied to {tempfile.gettempdir()} ({first_line(error)}); "
            "free space there, set TMPDIR, or give a table"
        ) from error

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(copy.name) as file, pa.ipc.open_file(file) as stored:
            for place in range(stored.num_record_batches):
                yield stored.get_batch(place)

    source = _batches(batches, schema, root, kind)
    weakref.finalize(source, copy.close)  # closing removes the file
    return source


def _convert(row: object, left_out: LeftOut) -> Row | BadRow:
    if not isinstance(row, Mapping):
        if not (hasattr(row, "keys") and hasattr(row, "__getitem__")):  # a row of sqlite3 has both
            return BadRow(f"of type {type(row).__name__}, not a dict; every row must look like {{'item_id': …}}")
        row = {name: row[name] for name in row.keys()}  # noqa: SIM118  # not iterable by its keys
    for name in itertools.filterfalse(lambda name: isinstance(name, str), row):
        return BadRow(f"the column name {name!r} is not text; use texts as keys")
    return {name: plain_value(value, name, left_out) for name, value in row.items()}
