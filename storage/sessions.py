"""One LanceDB session for all handles of a database in this process, replaced as the database's indexes change.

Searches fill the session's cache with metadata and with parts of indexes and their open files. LanceDB drops the
least recently used entries, and only when the cache is full. Replaced indexes therefore stay in memory with open
files until gigabytes of newer entries push them out. LanceDB has no call that drops a single entry. So this module
replaces the whole session after `MAX_REPLACED` replaced indexes; searches then read the current indexes again.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakValueDictionary

import lancedb
from lancedb.table import Table

from firstsight.errors import StoreError

MAX_REPLACED: Final = 16
"""Maximum number of replaced indexes in a session. Each keeps one or two files open; a write to a small database
replaces two."""

INDEX_CACHE_BYTES: Final = 6 * 1024**3
"""Size of the index cache: LanceDB's default. 100,000 items need 13 MB; with a full cache, searches read the disk."""

METADATA_CACHE_BYTES: Final = 256 * 1024**2
"""Size of the metadata cache. 100,000 items need 1 MB; old versions, such as from each logged slate, fill the rest."""


class SharedSession:
    """The session of one database, safe for threads. Get it from `shared_session`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._generation = 0
        self._renew()

    @property
    def generation(self) -> int:
        """A number that rises with each replacement; tables opened earlier keep the old session alive."""
        return self._generation

    def open_table(self, name: str) -> Table:
        """Open a table at its newest version.

        Raises:
            ValueError, FileNotFoundError: LanceDB finds no such table.
            RuntimeError, OSError: LanceDB cannot read the table.
        """
        table = self._connection.open_table(name)
        self.note_indexes(table)
        return table

    def create_table(self, name: str, data: Any = None, **options: Any) -> Table:
        """Create a table; arguments and errors as `lancedb.DBConnection.create_table`."""
        return self._connection.create_table(name, data, **options)

    def drop_table(self, name: str) -> None:
        """Remove a table; errors as `lancedb.DBConnection.drop_table`."""
        self._connection.drop_table(name)

    def note_indexes(self, table: Table) -> None:
        """Note the indexes of a table's current version; replace the session after `MAX_REPLACED` replaced indexes."""
        version = table.version
        if self._noted.get(table.name) == version:
            return
        indexes = table.list_indices()
        with self._lock:
            self._noted[table.name] = version
            self._names.update((table.name, index.name) for index in indexes)
            self._ids.update(str(index.index_uuid) for index in indexes)
            if len(self._ids) - len(self._names) > MAX_REPLACED:
                self._renew()
                return_freed_memory()

    def _renew(self) -> None:
        session = lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)
        self._connection = lancedb.connect(self._uri, session=session)
        self._noted: dict[str, int] = {}  # last checked version of each table
        self._names: set[tuple[str, str]] = set()  # (table, index)
        self._ids: set[str] = set()  # of all indexes seen, replaced ones included
        self._generation += 1


def return_freed_memory() -> None:
    """Give freed memory back to the system; does something only with glibc.

    glibc keeps the freed memory of each thread, and LanceDB has many threads. After 100 builds of the text indexes of
    2,000 items, 90 MB of unused memory were left.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


_SESSIONS: WeakValueDictionary[str, SharedSession] = WeakValueDictionary()
_OPENING = threading.Lock()


def shared_session(uri: str) -> SharedSession:
    """Get the session of a database, and create the database's folder; unused sessions are closed.

    Raises:
        StoreError: LanceDB cannot open the address.
    """
    address = uri if "://" in uri else os.path.abspath(uri)  # the working directory may change
    try:
        with _OPENING:
            session = _SESSIONS.get(address)
            if session is None:
                session = _SESSIONS[address] = SharedSession(address)
            return session
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{uri} cannot be opened: {error}") from None


class TableHandles:
    """Open tables of one store, all of one session; an index run uses them from two threads."""

    def __init__(self, session: SharedSession, searched: Callable[[], tuple[str, ...]]) -> None:
        """Open nothing yet; `searched` gives the names of the tables that searches read."""
        self._session = session
        self._searched = searched
        self._generation = 0
        self._tables: dict[str, Table] = {}
        self._opening = threading.Lock()

    def __getitem__(self, name: str) -> Table:
        """Get a table, and open it at first use."""
        with self._opening:  # a second handle of a table would miss the writes of the first
            if name not in self._tables:
                if not self._tables:
                    self._generation = self._session.generation
                self._tables[name] = self._session.open_table(name)
            return self._tables[name]

    def refresh(self) -> None:
        """Move the open tables to their newest versions, in the newest session."""
        if self._generation == self._session.generation:
            for table in self._tables.values():
                table.checkout_latest()  # type: ignore[no-untyped-call]
            for name in self._searched():
                self._session.note_indexes(self[name])
        if self._generation != self._session.generation:
            self.release()
            for name in self._searched():  # together, so that they show one state of the database
                self[name]

    def keep_only(self, *names: str) -> None:
        """Close all other tables."""
        for name in self._tables.keys() - set(names):
            del self._tables[name]

    def release(self) -> None:
        """Close the tables; the next use opens them again."""
        self._tables.clear()
        self._generation = 0
