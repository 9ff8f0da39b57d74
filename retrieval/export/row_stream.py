"""Stream the rows of a database as Arrow record batches, in constant memory, from one version of the tables.

LanceDB's own stream reads ahead up to 2 GiB of vectors. So this module streams row ids, which take 8 bytes a row, and
reads the rows of one batch after another.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Any, Final, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from lancedb.table import Table

from firstsight.errors import QueryError, StoreError, first_line
from firstsight.media.stored_media import open_address
from firstsight.retrieval.export.exported_facts import ExportedFacts
from firstsight.retrieval.ranking.item_filters import NOT_BLOCKED, build_condition
from firstsight.retrieval.results import locate
from firstsight.storage.snapshots import pin_snapshot
from firstsight.storage.sql.conditions import IDS_PER_LOOKUP, is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import KEYS, PARTS, Part, vector_type, views_schema
from firstsight.storage.vector_format import to_float32
from firstsight.storage.vector_sets import base_name

T = TypeVar("T")

ExportTable = Literal["items", "views", "shots"]
"""Rows of an export: one per item; per encoded title, picture, video frame or passage of timed text; or per shot of a
video."""

BATCH_ROWS: Final = 4_096
"""Default maximum number of rows in a batch."""

VECTOR: Final = "vector"

STORED_NAMES: Final = {"transcript": "text", "transcript_language": "language"}
"""Names in `views` of exported columns that would hide columns of `items`."""

VIEW_COLUMNS: Final = (
    *("view_id", "item_id", "part", "uri", "time_s", "start_s", "end_s", "fingerprint"),
    *STORED_NAMES,
)
"""Columns of `views` in an export, besides the vector."""


@dataclass(frozen=True)
class RowSelection:
    """Rows and columns of an export."""

    of: ExportTable = "items"
    columns: Sequence[str] | None = None  # None: all but indexed_at, and for views none of their items or facts
    where: str | None = None  # condition over the columns of items, as in a search
    vectors: bool = True  # whether the column `vector` is added
    parts: Sequence[Part] = ()  # only views of these parts; empty for all
    include_blocked: bool = False  # include items that a safety decision blocks, and their views
    thumbnails: bool = True  # whether shots have the column `thumbnail`, if `columns` does not decide it


class RowStream:
    """The selected rows of a database as they are now; later writes change nothing.

    Attributes:
        snapshot: the tables at the version of the stream.
        schema: the schema of the batches; its metadata names the encoder.
        condition: the SQL condition on `items`; None selects all.

    Raises:
        QueryError: a column, table or part is unknown, no column is selected, or the filter is wrong.
        StoreError: the tables cannot be read.
    """

    def __init__(self, store: Store, selection: RowSelection) -> None:
        check_selection(selection)
        self.selection = selection
        self.snapshot = pin_snapshot(store)
        self._facts = ExportedFacts(self.snapshot.items.schema)
        self._names = _choose_columns(self.snapshot, selection, self._facts)
        self.schema = pa.schema(self._fields(), metadata=export_metadata(self.snapshot, selection.of))
        self.condition = _condition(self.snapshot, selection)

    def reader(self, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """A reader of all batches; it can be read once.

        Args:
            batch_rows: maximum number of rows in a batch.

        Raises:
            QueryError: `batch_rows` is not positive.
            StoreError: when read, if the tables cannot be read any further.
        """
        if batch_rows < 1:
            raise QueryError(f"batch_rows is {batch_rows}; give 1 or more")
        return pa.RecordBatchReader.from_batches(self.schema, self.batches(batch_rows))

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield all batches; arguments and exceptions as for `reader`."""
        batches = self._item_batches if self.selection.of == "items" else self._view_batches
        with reading(self.snapshot):
            yield from batches(batch_rows)

    def with_columns(self, columns: Sequence[str]) -> RowStream:
        """The same rows with other columns."""
        other = copy(self)
        other._names = list(columns)
        other.schema = pa.schema(other._fields(), metadata=export_metadata(self.snapshot, self.selection.of))
        return other

    def count_rows(self) -> int:
        """Count the rows; for views of selected items it reads the ids of all of them."""
        with reading(self.snapshot):
            if self.selection.of == "items":
                return int(self.snapshot.items.count_rows(self.condition))
            return sum(len(ids) for _, ids in self._views_of_items(["item_id"]))

    def expected_rows(self) -> int | None:
        """A number that the rows do not exceed, without reading any; None for views of selected items.

        It is exact except for views of items that a killed run did not store.
        """
        with reading(self.snapshot):
            if self.selection.of == "items":
                return int(self.snapshot.items.count_rows(self.condition))
            return int(self.snapshot.views.count_rows(self._part_condition())) if self.condition is None else None

    def blocked_items(self) -> int:
        """Number of items that are left out because a safety decision blocks them."""
        if self.selection.include_blocked or "safety_decision" not in self.snapshot.items.schema.names:
            return 0
        blocked = "safety_decision = 'block'"
        where = build_condition(self.snapshot, self.selection.where, ())
        return int(self.snapshot.items.count_rows(blocked if where is None else f"{where} AND {blocked}"))

    # ---- items

    def _item_batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        for ids in row_ids(self.snapshot.items, self.condition, batch_rows):
            yield self._batch(read_rows(self.snapshot.items, ids, self._stored(self._names)))

    # ---- views

    def _view_batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        own = [name for name in self._names if name in _VIEW_FIELDS.names]
        exported = {STORED_NAMES.get(name, name): name for name in ("item_id", *own)}
        stored = [name for name in exported if name in self.snapshot.views.schema.names]
        of_items = self._stored([name for name in self._names if name not in own])
        for items, view_rows in self._views_of_items(["item_id", "catalog_dir", *of_items]):
            for part in _chunks(view_rows, batch_rows):
                views = read_rows(self.snapshot.views, part, stored)
                views = views.rename_columns([exported[name] for name in stored])
                for name in own:
                    if name not in views.column_names:  # a database of an early version, before its upgrade
                        views = views.append_column(name, pa.nulls(len(views), _VIEW_FIELDS.field(name).type))
                places = pc.index_in(views["item_id"], value_set=items["item_id"].combine_chunks())
                for name in of_items:
                    views = views.append_column(items.schema.field(name), items[name].take(places))
                yield self._batch(self._with_addresses(views, items["catalog_dir"].take(places)))

    def _views_of_items(self, columns: Sequence[str]) -> Iterator[tuple[pa.Table, list[int]]]:
        """Yield some items with these columns, and the row ids of their views in the order of the table."""
        items, views = self.snapshot.items, self.snapshot.views
        on_part = self._part_condition()
        for item_rows in row_ids(items, self.condition, IDS_PER_LOOKUP):
            rows = read_rows(items, item_rows, list(dict.fromkeys(columns)))
            among = is_in("item_id", rows["item_id"].to_pylist())
            found = views.search().where(among if on_part is None else f"{on_part} AND {among}")
            ids: list[Any] = found.select(["view_id"]).with_row_id(True).limit(None).to_arrow()["_rowid"].to_pylist()
            yield rows, sorted(ids)

    def _part_condition(self) -> str | None:
        return is_in("part", self.selection.parts) if self.selection.parts else None

    def _with_addresses(self, views: pa.Table, folders: pa.ChunkedArray[Any]) -> pa.Table:
        """Turn stored values into the ones that `Database.get` shows: addresses to open, and hexadecimal digits."""
        if "uri" in self._names:
            stored: list[tuple[Any, Any]] = list(zip(views["uri"].to_pylist(), folders.to_pylist(), strict=True))
            addresses = {  # the frames of a video have one address
                (uri, folder): uri and locate(open_address(uri, self.snapshot.uri), folder)
                for uri, folder in set(stored)
            }
            views = _replace(views, "uri", pa.array([addresses[pair] for pair in stored], pa.string()))
        if "fingerprint" in self._names:
            digits = [value and value.hex() for value in views["fingerprint"].to_pylist()]
            views = _replace(views, "fingerprint", pa.array(digits, pa.string()))
        return views

    # ---- both

    def _batch(self, rows: pa.Table) -> pa.RecordBatch:
        arrays = [self._array(rows, field) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _array(self, rows: pa.Table, field: pa.Field[Any]) -> Any:
        if field.name not in rows.column_names and self._facts.has(field.name):
            return self._facts.array(field.name, rows)
        return rows[field.name].combine_chunks().cast(field.type)

    def _stored(self, names: Sequence[str]) -> list[str]:
        """Columns of `items` that hold the exported columns."""
        schema = self.snapshot.items.schema
        stored = [[name] if name in schema.names else self._facts.stored_columns(name) for name in names]
        return list(dict.fromkeys(name for of_column in stored for name in of_column))

    def _fields(self) -> Iterator[pa.Field[Any]]:
        """Fields of the batches, without the metadata of the tables, which only firstsight needs."""
        for name in self._names:
            own = self.selection.of == "views" and name in _VIEW_FIELDS.names
            if not own and name not in self.snapshot.items.schema.names:
                yield self._facts.field(name)
                continue
            stored = _VIEW_FIELDS.field(name) if own else self.snapshot.items.schema.field(name)
            if name == VECTOR:
                yield pa.field(name, vector_type(self.snapshot.spec.dim))
            else:
                yield pa.field(name, pa.string() if name == "fingerprint" and own else stored.type)


_VIEW_FIELDS: Final = pa.schema(
    [views_schema(1).field(STORED_NAMES.get(name, name)).with_name(name) for name in (*VIEW_COLUMNS, VECTOR)]
)


def check_selection(selection: RowSelection) -> None:
    """Refuse an unknown table or part.

    Raises:
        QueryError: the table or a part is unknown, or there are parts for items.
    """
    if selection.of not in ("items", "views"):  # shots have a stream of their own
        raise QueryError(f"of is {selection.of!r}; give items or views")
    for part in selection.parts:
        if part not in PARTS:
            raise QueryError(f"there is no part {part!r}; the parts are {', '.join(PARTS)}")
    if selection.parts and selection.of == "items":
        raise QueryError("parts choose views; leave them out, or export views")


def _choose_columns(store: Store, selection: RowSelection, facts: ExportedFacts) -> list[str]:
    """Names of the exported columns, in order."""
    items = list(store.filter_kinds())
    if selection.of == "items":
        default, known = [*items, *facts.columns], [*items, "indexed_at", VECTOR]
    else:
        default = list(VIEW_COLUMNS)
        known = list(dict.fromkeys([*VIEW_COLUMNS, VECTOR, *items, "indexed_at"]))
    names = list(dict.fromkeys(default if selection.columns is None else selection.columns))
    for name in names:
        if name not in known and not facts.has(name):
            known += facts.known
            similar = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(similar)}? The" if similar else "the"
            raise QueryError(f"there is no column {name!r} to export; {hint} columns are {', '.join(known)}")
    return with_vector(names, selection, known)


def with_vector(names: Sequence[str], selection: RowSelection, known: Sequence[str]) -> list[str]:
    """Add the vector to the chosen columns, unless vectors are left out.

    Raises:
        QueryError: the vector is named and left out; or no column is left, with the `known` ones.
    """
    chosen = list(names)
    if VECTOR in chosen and not selection.vectors:
        raise QueryError("the column vector is named and vectors are left out; choose one of them")
    if selection.vectors and VECTOR not in chosen:
        chosen.append(VECTOR)
    if not chosen:
        raise QueryError(f"no column is left to export; name some of {', '.join(known)}")
    return chosen


def _condition(store: Store, selection: RowSelection) -> str | None:
    conditions = [build_condition(store, selection.where, ())]
    if not selection.include_blocked and "safety_decision" in store.items.schema.names:
        conditions.append(NOT_BLOCKED)
    return " AND ".join(condition for condition in conditions if condition is not None) or None


def export_metadata(store: Store, of: ExportTable) -> dict[bytes | str, bytes | str]:
    facts = {
        "version": version("firstsight"),
        "table": of,
        "encoder": store.spec.name,
        "fingerprint": store.spec.fingerprint,
        "dim": str(store.spec.dim),
    }
    return {f"firstsight:{name}": value for name, value in facts.items()}


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Report LanceDB's errors as StoreError."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        raise StoreError(
            f"{store.uri} cannot be read any further ({first_line(error)}); its files were removed or are damaged: "
            "start the export again"
        ) from error


def row_ids(table: Table, condition: str | None, rows: int) -> Iterator[list[int]]:
    """Yield the ids of the rows that fulfil a condition, in lists of `rows`."""
    search = table.search() if condition is None else table.search().where(condition)
    batches = search.select([KEYS[base_name(table.name)]]).with_row_id(True).limit(None).to_batches(BATCH_ROWS)
    ids: Iterator[Any] = (row_id for batch in batches for row_id in batch["_rowid"].to_pylist())
    return _chunks(ids, rows)


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(values)
    while chunk := list(islice(left, size)):
        yield chunk


def read_rows(table: Table, ids: list[int], names: list[str]) -> pa.Table:
    return to_float32(table.take_row_ids(ids).select(names).to_arrow())


def _replace(table: pa.Table, name: str, values: pa.Array[Any]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)
