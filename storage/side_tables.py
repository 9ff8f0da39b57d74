"""Additional tables of a database; the first write creates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol, cast

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import StoreError, first_line
from firstsight.storage.layout import is_remote
from firstsight.storage.sessions import SharedSession, shared_session

MAX_FRAGMENTS: Final = 64
"""Small files of a table at which `merge_small_files` merges them; each write adds one."""

KEEP_VERSIONS_FOR: Final = timedelta(hours=6)
"""Time for which replaced versions stay, for readers that still use them."""


class TableLocation(Protocol):
    """Where a database keeps its tables: a `Store`, or a `DatabaseAddress`."""

    @property
    def uri(self) -> str: ...
    @property
    def folder(self) -> Path | None: ...
    @property
    def session(self) -> SharedSession: ...


@dataclass(frozen=True)
class DatabaseAddress:
    """The address of a database that is not open, and may not exist yet."""

    uri: str

    @property
    def folder(self) -> Path | None:
        """The database's folder; None at an object-store address."""
        return None if is_remote(self.uri) else Path(self.uri)

    @property
    def session(self) -> SharedSession:
        """The LanceDB session of the database.

        Raises:
            StoreError: the database cannot be opened.
        """
        return shared_session(self.uri)


def open_side_table(store: TableLocation, name: str) -> Table | None:
    """Open the newest version of a table; None if the table does not exist yet."""
    if store.folder is not None and not (Path(store.folder) / f"{name}.lance").is_dir():
        return None
    try:
        return store.session.open_table(name)
    except (ValueError, FileNotFoundError):
        return None


def upsert(
    store: TableLocation,
    name: str,
    schema: pa.Schema,
    key: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    use_index: bool = False,
) -> int:
    """Insert rows, or replace rows of equal key, in one commit; the caller holds the writer lock.

    Args:
        name: of the table; created with `schema` if it does not exist.
        key: name of the key column.
        use_index: find equal keys with the index of the key column, if there is one. Only for a writer that holds a
            lock: see `TableStore._merge`.

    Returns:
        Number of new keys.

    Raises:
        StoreError: the database cannot be written.
    """
    if not rows:
        return 0
    by_key = {row[key]: row for row in rows}  # LanceDB inserts a new key twice if one batch has it twice
    try:
        table = store.session.create_table(name, schema=schema, exist_ok=True)
        done = (
            table.merge_insert(key)
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .use_index(use_index)
            .execute(pa.Table.from_pylist(list(by_key.values()), schema=schema))
        )
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: the table has another schema
        raise unwritable(store, error) from error
    return int(done.num_inserted_rows)


def append(store: TableLocation, name: str, schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows with new keys in one commit; the caller holds the writer lock.

    A table of an earlier version first gets the columns of the schema that it lacks, without values.

    Args:
        name: of the table; created with `schema` if it does not exist.

    Raises:
        StoreError: the database cannot be written.
    """
    if not rows:
        return
    try:
        table = open_side_table(store, name)
        if table is None:
            table = store.session.create_table(name, schema=schema, exist_ok=True)
        missing = [field for field in schema if field.name not in table.schema.names]
        if missing:
            table.add_columns(pa.schema(missing))
        ordered = pa.schema([schema.field(column) for column in table.schema.names if column in schema.names])
        table.add(pa.Table.from_pylist(list(rows), schema=ordered))
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: the table has another schema
        raise unwritable(store, error) from error
    merge_small_files(store, table)


def merge_small_files(store: TableLocation, table: Table, keep_versions_for: timedelta = KEEP_VERSIONS_FOR) -> None:
    """Merge the small files of a table that is often written, and remove its old versions, once there are many.

    The caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    stats = cast("dict[str, Any]", table.stats())  # typed as a class, but a dictionary
    if stats["fragment_stats"]["num_fragments"] < MAX_FRAGMENTS:
        return
    try:
        table.optimize(cleanup_older_than=keep_versions_for)
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error


def unwritable(store: TableLocation, error: Exception) -> StoreError:
    """Make the error for a full disk, a lost connection or a conflicting write."""
    return StoreError(f"{store.uri} could not be written ({first_line(error)}); check space and access")
