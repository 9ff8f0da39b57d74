"""One LanceDB session for all handles of a database in this process, replaced as the database's indexes change.

A session caches what searches read: metadata, and parts of indexes with their open files. It drops what was used
longest ago, and only when the cache is full. An index that a write has replaced therefore stays in memory, and its
files stay open, until gigabytes of other entries have come. No call drops one entry, so that the whole session is
replaced once it has seen `MAX_REPLACED` indexes go out of use; what is still in use is read again from the disk.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any, Final
from weakref import WeakValueDictionary

import lancedb
from lancedb.table import Table

from firstsight.errors import StoreError

MAX_REPLACED: Final = 16
"""Indexes out of use that a session may hold. Each has an open file or two; a write of a small database makes two."""

INDEX_CACHE_BYTES: Final = 6 * 1024**3
"""LanceDB's own default. 100,000 items need 13 MB; a cache that is too small makes every search read the disk."""

METADATA_CACHE_BYTES: Final = 256 * 1024**2
"""100,000 items need 1 MB. The rest is of versions that were replaced, such as those that each logged slate makes."""

_SEARCHED: Final = ("items", "views")


class SharedSession:
    """The session of one database, for any number of threads. Made by `shared_session`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._generation = 0
        self._renew()

    @property
    def generation(self) -> int:
        """A number that rises whenever the session is replaced; tables opened before keep the old session alive."""
        return self._generation

    def open_table(self, name: str) -> Table:
        """Open a table at its newest version.

        Raises:
            ValueError, FileNotFoundError, RuntimeError, OSError: LanceDB's own.
        """
        table = self._connection.open_table(name)
        self.note_indexes(table)
        return table

    def create_table(self, name: str, data: Any = None, **how: Any) -> Table:
        """Create a table; arguments and errors as `lancedb.DBConnection.create_table`."""
        return self._connection.create_table(name, data, **how)

    def drop_table(self, name: str) -> None:
        """Remove a table; errors as `lancedb.DBConnection.drop_table`."""
        self._connection.drop_table(name)

    def note_indexes(self, table: Table) -> None:
        """Note the indexes of the version that a table is at, and replace the session if it has seen too many."""
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
        self._noted: dict[str, int] = {}  # version of each table that was last looked at
        self._names: set[tuple[str, str]] = set()  # of tables and their indexes
        self._ids: set[str] = set()  # of indexes, those out of use included
        self._generation += 1


def return_freed_memory() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    It keeps what each thread has freed, and LanceDB has many. Building the text indexes of 2,000 items 100
    times left 90 MB that nobody used.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


_SESSIONS: WeakValueDictionary[str, SharedSession] = WeakValueDictionary()
_OPENING = threading.Lock()


def shared_session(uri: str) -> SharedSession:
    """The session of a database, which lives as long as somebody holds it; makes the database's folder.

    Raises:
        StoreError: it cannot be opened.
    """
    address = uri if "://" in uri else os.path.abspath(uri)  # a working directory may change
    try:
        with _OPENING:
            session = _SESSIONS.get(address)
            if session is None:
                session = _SESSIONS[address] = SharedSession(address)
            return session
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{uri} cannot be opened: {error}") from None


class TableHandles:
    """The tables of one store, all of one session; an index run uses them from two threads."""

    def __init__(self, session: SharedSession) -> None:
        self._session = session
        self._generation = 0
        self._tables: dict[str, Table] = {}
        self._opening = threading.Lock()

    def __getitem__(self, name: str) -> Table:
        """A table, opened if it is not."""
        with self._opening:  # a second handle of one table would not see what the first has written
            if name not in self._tables:
                if not self._tables:
                    self._generation = self._session.generation
                self._tables[name] = self._session.open_table(name)
            return self._tables[name]

    def refresh(self) -> None:
        """Bring the open tables to their newest versions, in the newest session."""
        if self._generation == self._session.generation:
            for table in self._tables.values():
                table.checkout_latest()  # type: ignore[no-untyped-call]
            for name in _SEARCHED:
                self._session.note_indexes(self[name])
        if self._generation != self._session.generation:
            self.release()
            for name in _SEARCHED:  # together, so that they are of one state of the database
                self[name]

    def release(self) -> None:
        """Close the tables; they are opened again when they are used."""
        self._tables.clear()
        self._generation = 0
