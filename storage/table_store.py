"""The tables of a database: open or create them, follow the vector set in force, lock them, write to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import EncoderMismatchError, MissingDatabaseError, StoreError, first_line
from firstsight.storage.layout import create_tables, has_sets, is_remote, stored_layout, stored_spec
from firstsight.storage.locks import creation_lock, writer_lock
from firstsight.storage.sessions import SharedSession, TableHandles, shared_session
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.tables import KEYS
from firstsight.storage.vector_format import VectorFormat, float32_schema, to_float32, vector_format
from firstsight.storage.vector_sets import SET_VERSIONS, TABLE, VectorSets, base_name, read_sets, table_name
from firstsight.vectors import EncoderSpec

T = TypeVar("T")

CONFLICT_TRIES = 5
"""Attempts of one piece of work on a table; each attempt starts from the table's newest version."""


class TableStore:
    """The tables of a database on disk or at an object-store address, with the vectors of the encoder in force.

    Attributes:
        uri: folder or object-store address.
        spec: the encoder that made the vectors; `refresh` follows a switch to another one.
        layout: layout of the tables at the last `refresh`.
        session: the LanceDB session that all handles of this database share.
        number: the vector set of the tables `items` and `views`.
        sets: all vector sets at the last `refresh`; None in a database that never had a second one.
    """

    def __init__(
        self, uri: str, spec: EncoderSpec, layout: int, session: SharedSession, number: int = 0, *, pinned: bool = False
    ) -> None:
        """Use `open`; pinned: keep this set, whichever is in force."""
        self.uri = uri
        self.spec = spec
        self.layout = layout
        self.session = session
        self.number = number
        self.sets: VectorSets | None = None
        self._pinned = pinned
        self._sets_version = -1
        self._standby: Self | None = None
        self._changed: set[str] | None = set()
        self._handles = TableHandles(session, self._searched)

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
            if has_sets(items):
                store._follow_sets()
            store.tables  # noqa: B018  (opens them)
        except (ValueError, RuntimeError, OSError) as error:
            raise StoreError(f"{uri} lacks a table ({first_line(error)}); restore it from a copy") from None
        return store

    @classmethod
    def create(cls, uri: str | os.PathLike[str], spec: EncoderSpec, vectors: VectorFormat | None = None) -> Self:
        """Open a database, or create an empty one for this encoder; safe to repeat after a kill.

        Args:
            uri: folder or object-store address.
            spec: the encoder.
            vectors: the storage format of vectors; None for that of the database, float32 for a new one.

        Raises:
            EncoderMismatchError: the database holds another encoder's vectors.
            StoreError: the folder holds other files, or cannot be written; or the database has another format.
        """
        uri = os.fspath(uri)
        with contextlib.nullcontext() if is_remote(uri) else creation_lock(Path(uri)):
            try:
                store = cls.open(uri)
            except MissingDatabaseError:
                create_tables(uri, spec, vectors or "float32")
                store = cls.open(uri)
        store.require_encoder(spec)
        store.require_vector_format(vectors)
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

    def of_set(self, number: int) -> Self:
        """Open the tables of one vector set, which stay whichever set is in force.

        Raises:
            StoreError: there is no such set, or it cannot be read.
        """
        try:
            items = self.session.open_table(table_name("items", number))
            spec = stored_spec(self.uri, items)
            store = type(self)(self.uri, spec, self.layout, self.session, number, pinned=True)
            store.tables  # noqa: B018  (opens them)
        except (ValueError, RuntimeError, OSError) as error:
            raise StoreError(
                f"{self.uri} lacks tables of vector set {number} ({first_line(error)}); restore them from a copy, or "
                f"drop the set if it is not in force: firstsight encoder drop {number} --force"
            ) from None
        return store

    @property
    def vector_format(self) -> VectorFormat:
        """The storage format of `items.vector` and `views.vector`."""
        return vector_format(self.items.schema.field("vector").type)

    def require_vector_format(self, vectors: VectorFormat | None) -> None:
        """Check that vectors are stored in a format; None accepts each.

        Raises:
            StoreError: they are stored in another format.
        """
        if vectors not in (None, self.vector_format):
            raise StoreError(
                f"{self.uri} stores vectors as {self.vector_format}, not as {vectors}, and a database keeps its "
                "format; leave --vectors out, or index into another --db"
            )

    @property
    def items(self) -> Table:
        """One row per item."""
        return self._handles[table_name("items", self.number)]

    @property
    def views(self) -> Table:
        """One row per encoded title, image or frame."""
        return self._handles[table_name("views", self.number)]

    @property
    def first_items(self) -> Table:
        """The table `items` of set 0, whose metadata has the layout of the database."""
        return self._handles["items"]

    @property
    def items_version(self) -> int:
        """Version of `items`, for caches: no state of another vector set has the same one."""
        return self.items.version + self.number * SET_VERSIONS

    @property
    def views_version(self) -> int:
        """Version of `views`, for caches: no state of another vector set has the same one."""
        return self.views.version + self.number * SET_VERSIONS

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
        """Move to the newest version of the tables, with the writes of other processes, in the set in force.

        Raises:
            MissingDatabaseError: the folder is gone.
            StoreError: the tables cannot be read, or a newer firstsight has upgraded them.
        """
        try:
            self._handles.refresh()
            if has_sets(self.first_items):
                self._follow_sets()
        except (ValueError, RuntimeError, OSError) as error:
            self._handles.release()
            if self.folder is not None and not self.folder.is_dir():
                raise MissingDatabaseError(_missing(self.uri)) from None
            raise StoreError(f"{self.uri} cannot be read ({first_line(error)}); restore it from a copy") from None
        self.layout = stored_layout(self.uri, self.first_items)

    def _searched(self) -> tuple[str, str]:
        return table_name("items", self.number), table_name("views", self.number)

    def _follow_sets(self) -> None:
        """Read which set is in force, if that can have changed, and move to its tables."""
        try:
            table = self._handles[TABLE]
        except (ValueError, FileNotFoundError):  # a kill came between the mark and the table
            return
        if table.version != self._sets_version:
            self.sets, self._sets_version = read_sets(table), table.version
        if self.sets is None or self._pinned or self.sets.in_force == self.number:
            return
        self.number = self.sets.in_force
        self._handles.keep_only(TABLE, "items", "failures", "runs", *self._searched())
        self.spec = stored_spec(self.uri, self.items)
        self.views  # noqa: B018  (opens it together with the items)

    def release(self) -> None:
        """Close the tables until their next use, so that an idle store keeps no files open."""
        self._handles.release()

    @contextlib.contextmanager
    def locked(self, wait_s: float = 0.0, *, brief: bool = False) -> Iterator[None]:
        """Hold the writer lock without upgrading the database.

        An object-store address has no lock: its owner must run one writer at a time.

        Args:
            wait_s: maximum wait for another writer, in seconds.
            brief: the caller holds the lock for one batch of many; see `writer_lock`.

        Raises:
            DatabaseBusyError: another process still holds the lock after `wait_s`.
            StoreError: the folder cannot be written, or a newer firstsight has upgraded the database.
        """
        with contextlib.nullcontext() if is_remote(self.uri) else writer_lock(Path(self.uri), wait_s, brief=brief):
            self.refresh()
            yield

    @staticmethod
    def rows_by_id(
        table: Table,
        ids: Sequence[str],
        *,
        key: str = "item_id",
        columns: Sequence[str] | None = None,
        condition: str | None = None,
    ) -> Iterator[pa.Table]:
        """Read the rows of a table that have one of these ids.

        Args:
            table: any table of this database.
            key: the column that holds the ids.
            columns: those to read; None means all.
            condition: SQL that the rows fulfil as well, as from `build_condition`.

        Yields:
            The rows of 1,000 ids at a time, in the order of the table; nothing for ids that are not there. Vectors are
            float32 in every storage format.
        """
        for part in in_chunks(ids):
            among = is_in(key, part) if condition is None else f"({condition}) AND {is_in(key, part)}"
            search = table.search().where(among).limit(None)
            yield to_float32((search if columns is None else search.select(list(columns))).to_arrow())

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

    # ---- the vector set that is not in force

    @property
    def standby(self) -> Self | None:
        """The tables of the vector set that is not in force, which writers keep up to date; None without one."""
        found = None if self.sets is None or self._pinned else self.sets.standby
        if found is None:
            self._standby = None
        elif self._standby is None or self._standby.number != found.number:
            self._standby = self.of_set(found.number)
        return self._standby

    @property
    def changed_items(self) -> set[str] | None:
        """Ids of the items that this writing block has changed so far; None for all."""
        return self._changed

    def note_changed(self, item_ids: Iterable[str]) -> None:
        """Note items whose rows change, for the standby; writing methods do so themselves."""
        if self._changed is not None:
            self._changed.update(item_ids)

    def note_all_changed(self) -> None:
        """Note that rows of all items may have changed."""
        self._changed = None

    def forget_changes(self) -> None:
        """Forget the noted items, when the standby has all changes."""
        self._changed = set()

    # ---- writing

    def merge_rows(self, table: Table, rows: pa.Table) -> None:
        """Upsert complete rows of a table, kept as Arrow; they leave the indexes until the next upkeep.

        Raises:
            StoreError: the database cannot be written.
        """
        self._merge(table, KEYS[base_name(table.name)], rows)

    def delete_rows(self, table: Table, condition: str) -> None:
        """Delete the rows of a table that fulfil a condition in SQL.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._writes():
            table.delete(condition)

    def _upsert(self, table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        by_key = {row[key]: row for row in rows}  # LanceDB inserts a new id twice if one batch has it twice
        # Arrow converts NumPy's numbers to float32 lists, and to float16 only from there
        schema = float32_schema(table.schema)
        self._merge(table, key, pa.Table.from_pylist(list(by_key.values()), schema=schema))

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
