"""The four tables of a database: open or create them, lock them, write to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import EncoderMismatchError, MissingDatabaseError, StoreError, first_line
from firstsight.storage.layout import create_tables, is_remote, stored_layout, stored_spec
from firstsight.storage.locks import creation_lock, writer_lock
from firstsight.storage.sessions import SharedSession, TableHandles, shared_session
from firstsight.vectors import EncoderSpec

T = TypeVar("T")

CONFLICT_TRIES = 5
"""Attempts of one piece of work on a table; each attempt starts from the table's newest version."""


class TableStore:
    """The tables of a database on disk or at an object-store address, bound to one encoder.

    Attributes:
        uri: folder or object-store address.
        spec: the encoder that made the vectors.
        layout: layout of the tables at the last `refresh`.
        session: the LanceDB session that all handles of this database share.
    """

    def __init__(self, uri: str, spec: EncoderSpec, layout: int, session: SharedSession) -> None:
        self.uri = uri
        self.spec = spec
        self.layout = layout
        self.session = session
        self._handles = TableHandles(session)

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> Self:
        """Open an existing database.

        Raises:
            MissingDatabaseError: there is no database at `uri`.
            StoreError: the tables cannot be read, or a newer firstsight wrote them.
        """
        uri = os.fspath(uri)
        if not is_remote(uri) and not (Path(uri) / "items.lance").is_dir():
            raise MissingDatabaseError(_missing(uri))  # LanceDB's connect would create the folder
        session = shared_session(uri)
        try:
            items = session.open_table("items")
        except (ValueError, FileNotFoundError):
            raise MissingDatabaseError(_missing(uri)) from None
        except (RuntimeError, OSError) as error:
            raise StoreError(f"{uri} cannot be read ({first_line(error)}); restore it from a copy") from None
        store = cls(uri, stored_spec(uri, items), stored_layout(uri, items), session)
        try:
            store.tables  # noqa: B018  (opens them)
        except (ValueError, RuntimeError, OSError) as error:
            raise StoreError(f"{uri} lacks a table ({first_line(error)}); restore it from a copy") from None
        return store

    @classmethod
    def create(cls, uri: str | os.PathLike[str], spec: EncoderSpec) -> Self:
        """Open a database, or create an empty one for this encoder; safe to repeat after a kill.

        Raises:
            EncoderMismatchError: the database holds another encoder's vectors.
            StoreError: the folder holds other files, or cannot be written.
        """
        uri = os.fspath(uri)
        with contextlib.nullcontext() if is_remote(uri) else creation_lock(Path(uri)):
            try:
                store = cls.open(uri)
            except MissingDatabaseError:
                create_tables(uri, spec)
                store = cls.open(uri)
        store.require_encoder(spec)
        return store

    def require_encoder(self, spec: EncoderSpec) -> None:
        """Check that an encoder is the one that made the stored vectors.

        Raises:
            EncoderMismatchError: it is another encoder, or another version of it.
        """
        if spec.fingerprint == self.spec.fingerprint:
            return
        if spec.name == self.spec.name:
            raise EncoderMismatchError(
                f"{self.uri} holds vectors of another version of {spec.name} ({self.spec.fingerprint[:12]}, here it is "
                f"{spec.fingerprint[:12]}); their vectors do not compare. Index into another --db"
            )
        raise EncoderMismatchError(
            f"{self.uri} holds vectors of {self.spec.name} ({self.spec.fingerprint[:12]}), not of "
            f"{spec.name} ({spec.fingerprint[:12]}); their vectors do not compare. "
            f"Use --encoder {self.spec.name}, or index into another --db"
        )

    @property
    def items(self) -> Table:
        """One row per item."""
        return self._handles["items"]

    @property
    def views(self) -> Table:
        """One row per encoded title, image or frame."""
        return self._handles["views"]

    @property
    def failures(self) -> Table:
        """One row per medium that could not be used."""
        return self._handles["failures"]

    @property
    def runs(self) -> Table:
        """One row per index run, watch, removal and upkeep."""
        return self._handles["runs"]

    @property
    def tables(self) -> tuple[Table, Table, Table, Table]:
        """The tables `items`, `views`, `failures` and `runs`."""
        return self.items, self.views, self.failures, self.runs

    @property
    def folder(self) -> Path | None:
        """Folder of the database; None at an object-store address."""
        return None if is_remote(self.uri) else Path(self.uri)

    def refresh(self) -> None:
        """Move to the newest version of the tables, with the writes of other processes.

        Raises:
            MissingDatabaseError: the folder is gone.
            StoreError: the tables cannot be read, or a newer firstsight has upgraded them.
        """
        try:
            self._handles.refresh()
        except (ValueError, RuntimeError, OSError) as error:
            self._handles.release()
            if self.folder is not None and not self.folder.is_dir():
                raise MissingDatabaseError(_missing(self.uri)) from None
            raise StoreError(f"{self.uri} cannot be read ({first_line(error)}); restore it from a copy") from None
        self.layout = stored_layout(self.uri, self.items)

    def release(self) -> None:
        """Close the tables until their next use, so that an idle store keeps no files open."""
        self._handles.release()

    @contextlib.contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the writer lock without upgrading the database.

        An object-store address has no lock: its owner must run one writer at a time.

        Args:
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            DatabaseBusyError: another process still holds the lock after `wait_s`.
            StoreError: the folder cannot be written, or a newer firstsight has upgraded the database.
        """
        with contextlib.nullcontext() if is_remote(self.uri) else writer_lock(Path(self.uri), wait_s):
            self.refresh()
            yield

    def maintain(self, table: Table, work: Callable[[Table], T]) -> T:
        """Run work that changes no row of a table; repeat it on the newest version after a conflicting write.

        Args:
            work: gets the table; may run up to `CONFLICT_TRIES` times.

        Raises:
            StoreError: the work fails, or each attempt meets a conflicting write.
        """
        with self._writes():
            for _ in range(CONFLICT_TRIES - 1):
                try:
                    return work(table)
                except RuntimeError as error:
                    if "conflict" not in str(error).lower():
                        raise
                table.checkout_latest()  # type: ignore[no-untyped-call]
            return work(table)

    def _upsert(self, table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        by_key = {row[key]: row for row in rows}  # LanceDB inserts a new id twice if one batch has it twice
        self._merge(table, key, pa.Table.from_pylist(list(by_key.values()), schema=table.schema))

    def _merge(self, table: Table, key: str, rows: pa.Table) -> None:
        with self._writes():
            # use_index(False): with the id index, concurrent upserts of one new id were seen to insert it twice;
            # on_bad_vectors: an item has no vector if nothing of it could be encoded
            merge = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
            merge.use_index(False).execute(rows, on_bad_vectors="null")

    @contextlib.contextmanager
    def _writes(self) -> Iterator[None]:
        """Raise StoreError for LanceDB's errors on a full disk, a lost connection or a conflicting write."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise StoreError(
                f"{self.uri} could not be written ({first_line(error)}); earlier writes are safe: "
                "check space and access, then run again"
            ) from error


def _missing(uri: str) -> str:
    return f"there is no database at {uri}; make one with: firstsight index CATALOGUE --db {uri}"
