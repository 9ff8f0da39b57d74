"""Tables of a database beside its own four, made when they are first written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import StoreError, first_line
from firstsight.storage.layout import is_remote
from firstsight.storage.sessions import SharedSession, shared_session


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
    """A table as it is now; None where nothing was ever written to it."""
    if store.folder is not None and not (Path(store.folder) / f"{name}.lance").is_dir():
        return None
    try:
        return store.session.open_table(name)
    except (ValueError, FileNotFoundError):
        return None


def upsert(store: TableLocation, name: str, schema: pa.Schema, key: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write rows over those of the same key, in one commit; the caller holds the writer lock.

    Returns:
        How many keys were not there before.

    Raises:
        StoreError: the database cannot be written.
    """
    if not rows:
        return 0
    once = {row[key]: row for row in rows}  # a new key twice in one batch would be inserted twice
    try:
        table = store.session.create_table(name, schema=schema, exist_ok=True)
        # use_index(False): as in `Store._upsert`
        done = (
            table.merge_insert(key)
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .use_index(False)
            .execute(pa.Table.from_pylist(list(once.values()), schema=schema))
        )
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: the table has another schema
        raise unwritable(store, error) from error
    return int(done.num_inserted_rows)


def unwritable(store: TableLocation, error: Exception) -> StoreError:
    """What is said of a full disk, a lost connection or a conflicting write."""
    return StoreError(f"{store.uri} could not be written ({first_line(error)}); see that there is room and access")
