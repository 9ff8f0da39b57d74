"""The LanceDB database: four tables, one encoder, one writer at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import EncoderMismatchError, MissingDatabaseError, StoreError, first_line
from firstsight.storage import tables
from firstsight.storage.columns import ColumnKind, arrow_type, kind_of_arrow
from firstsight.storage.conditions import in_chunks, is_in, quote
from firstsight.storage.layout import create_tables, is_remote, stored_layout, stored_spec
from firstsight.storage.locks import creation_lock, is_watched, writer_lock
from firstsight.storage.sessions import SharedSession, TableHandles, shared_session
from firstsight.storage.tables import Failure
from firstsight.storage.upgrade import apply_upgrade
from firstsight.vectors import EncoderSpec

log = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICT_TRIES = 5
"""Times that work on a table is begun again on its newest version, where another process has written meanwhile."""


class Store:
    """A database on disk or at an object-store address.

    Readers see the newest committed rows at each call and never wait. Writing calls belong inside
    `with store.writing():`.
    """

    def __init__(self, uri: str, spec: EncoderSpec, layout: int, session: SharedSession) -> None:
        self.uri = uri
        self.spec = spec
        self.layout = layout  # at the last `refresh`
        self.session = session
        self._handles = TableHandles(session)

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> Store:
        """Open an existing database.

        Raises:
            MissingDatabaseError: there is none.
            StoreError: it was written by a newer firstsight.
        """
        uri = os.fspath(uri)
        if not is_remote(uri) and not (Path(uri) / "items.lance").is_dir():
            raise MissingDatabaseError(_missing(uri))  # LanceDB's connect would make the folder
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
            raise StoreError(f"{uri} is not whole ({first_line(error)}); restore it from a copy") from None
        return store

    @classmethod
    def create(cls, uri: str | os.PathLike[str], spec: EncoderSpec) -> Store:
        """Open a database, or make an empty one for this encoder; safe to repeat after a kill.

        Raises:
            EncoderMismatchError: it holds another encoder's vectors.
            StoreError: the folder holds something else, or cannot be written.
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
        """Refuse another encoder's vectors.

        Raises:
            EncoderMismatchError: naming both encoders.
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
        return self._handles["items"]

    @property
    def views(self) -> Table:
        return self._handles["views"]

    @property
    def failures(self) -> Table:
        return self._handles["failures"]

    @property
    def runs(self) -> Table:
        return self._handles["runs"]

    @property
    def tables(self) -> tuple[Table, Table, Table, Table]:
        """All tables, those that hold the items first."""
        return self.items, self.views, self.failures, self.runs

    @property
    def folder(self) -> Path | None:
        """Where the database is on disk; None at an object-store address."""
        return None if is_remote(self.uri) else Path(self.uri)

    def refresh(self) -> None:
        """See what other processes have written since.

        Raises:
            MissingDatabaseError: its folder is gone.
            StoreError: a newer firstsight has upgraded the database, or it cannot be read.
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
        """Close the tables until they are used again, so that an idle store holds no files open."""
        self._handles.release()

    @contextlib.contextmanager
    def writing(self, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the database's writer lock; a database of an earlier layout is upgraded first.

        Raises:
            DatabaseBusyError: another process holds it, named by process, host and start.
            StoreError: the database cannot be upgraded, or a newer firstsight has upgraded it.
        """
        with self.locked(wait_s):
            apply_upgrade(self, on_progress=lambda line: log.warning("%s: %s", self.uri, line))
            yield

    @contextlib.contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the writer lock and see the newest rows, without an upgrade.

        A database at an object-store address has no lock: one writer at a time is its owner's care.

        Raises:
            DatabaseBusyError, StoreError: as `writing`.
        """
        with contextlib.nullcontext() if is_remote(self.uri) else writer_lock(Path(self.uri), wait_s):
            self.refresh()
            yield

    # ---- reading

    def column_kinds(self) -> dict[str, ColumnKind]:
        """The catalogue's own columns, with their kinds."""
        return {f.name: kind_of_arrow(f.type) for f in self.items.schema if f.name not in tables.OWN_COLUMNS}

    def digests(self, item_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """`(digest, row_digest)` of those of these items that are stored."""
        rows = self._by_id(self.items, item_ids, ["item_id", "digest", "row_digest"])
        return {row["item_id"]: (row["digest"], row["row_digest"]) for row in rows}

    def item_rows(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Whole rows of `items`, by id."""
        return {row["item_id"]: row for row in self._by_id(self.items, item_ids, None)}

    def view_rows(self, item_ids: Sequence[str]) -> pa.Table:
        """All views of these items, with all columns of this layout."""
        parts = list(self.rows_by_id(self.views, item_ids))
        rows = pa.concat_tables(parts) if parts else self.views.schema.empty_table()
        for field in tables.missing_view_columns(rows.schema):  # not upgraded yet, or an earlier snapshot
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
        return rows

    def failure_rows(self) -> list[dict[str, Any]]:
        """Every row of `failures`, in a stable order."""
        rows: list[dict[str, Any]] = self.failures.search().limit(None).to_arrow().to_pylist()
        return sorted(rows, key=lambda row: (row["item_id"], row["uri"]))

    def item_ids(self) -> Iterator[list[str]]:
        """Every stored id, in batches."""
        for batch in self.items.search().select(["item_id"]).limit(None).to_batches(10_000):
            yield [str(item_id) for item_id in batch["item_id"].to_pylist()]

    def run_rows(self) -> list[dict[str, Any]]:
        """Every index run and upkeep, oldest first, with `settings` and `counts` as dictionaries."""
        rows = self.runs.search().limit(None).to_arrow().drop_columns("pending").sort_by("started_at").to_pylist()
        return [
            {name: json.loads(value) if name in {"settings", "counts"} else value for name, value in row.items()}
            for row in rows
        ]

    def safety_rows(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The safety columns of those of these items that have a decision."""
        if "safety_decision" not in self.items.schema.names:
            return {}
        rows = self._by_id(self.items, item_ids, ["item_id", *tables.SAFETY_COLUMNS])
        return {row.pop("item_id"): row for row in rows if row["safety_decision"] is not None}

    def blocked(self, item_ids: Sequence[str]) -> set[str]:
        """Those of these items that a safety decision keeps out of searches."""
        rows = self.safety_rows(item_ids)
        return {item_id for item_id, row in rows.items() if row["safety_decision"] == "block"}

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
            The rows of 1,000 ids at a time, in the order of the table; nothing for ids that are not there.
        """
        for part in in_chunks(ids):
            among = is_in(key, part) if condition is None else f"({condition}) AND {is_in(key, part)}"
            search = table.search().where(among).limit(None)
            yield (search if columns is None else search.select(list(columns))).to_arrow()

    def _by_id(self, table: Table, item_ids: Sequence[str], columns: list[str] | None) -> Iterator[dict[str, Any]]:
        for part in self.rows_by_id(table, item_ids, columns=columns):
            yield from part.to_pylist()

    # ---- writing: every call is safe to repeat

    def add_columns(self, kinds: Mapping[str, ColumnKind]) -> None:
        """Add the catalogue's columns that the items table does not have yet.

        Raises:
            StoreError: it has one of them as another kind by now; the catalogue was checked before that.
        """
        known = self.column_kinds()
        for name in kinds.keys() & known.keys():
            if kinds[name] != known[name]:
                raise StoreError(f"another run has added column {name!r} as {known[name]} meanwhile; run again")
        new = [pa.field(name, arrow_type(kind)) for name, kind in kinds.items() if name not in known]
        if new:
            with self._writes():
                self.items.add_columns(new)

    def write_safety(self, columns: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the safety columns of some items, all in one commit; a column that is not named becomes null.

        Whole rows are written: an update of single columns rewrites rows as well and takes as long, and a merge of
        single columns is refused for the key. Rows written leave the indexes until the next upkeep, so write what has
        changed, not everything.
        """
        new = [pa.field(n, t) for n, t in tables.SAFETY_COLUMNS.items() if n not in self.items.schema.names]
        if new:
            with self._writes():
                self.items.add_columns(new)
        found = list(self.rows_by_id(self.items, list(columns)))
        if not found:
            return
        rows = pa.concat_tables(found)  # kept as Arrow: vectors as lists of Python take eight times their size
        given = [columns[str(item_id)] for item_id in rows["item_id"].to_pylist()]
        for name, kind in tables.SAFETY_COLUMNS.items():
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, pa.array([one.get(name) for one in given], kind))
        self._merge(self.items, "item_id", rows)

    def write_items(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Upsert rows of `items`; a column a row does not name becomes null."""
        self._upsert(self.items, "item_id", rows)

    def write_views(self, rows: Sequence[Mapping[str, Any]], replaced: Sequence[str]) -> None:
        """Upsert views, and drop the views that `replaced` items had and no longer have."""
        self._upsert(self.views, "view_id", rows)
        kept: dict[str, list[str]] = {}
        for row in rows:
            kept.setdefault(row["item_id"], []).append(row["view_id"])
        for part in in_chunks(replaced):
            keep = [view_id for item_id in part for view_id in kept.get(item_id, ())]
            stale = is_in("item_id", part)
            with self._writes():
                self.views.delete(f"{stale} AND NOT ({is_in('view_id', keep)})" if keep else stale)

    def delete_views(self, view_ids: Sequence[str]) -> None:
        """Remove views."""
        for part in in_chunks(view_ids):
            with self._writes():
                self.views.delete(is_in("view_id", part))

    def write_failures(self, failures: Sequence[Failure], run_id: str, tried: Sequence[str]) -> list[str]:
        """Upsert the failures of the items just tried, counting attempts on.

        Returns:
            Ids of the failures these items had and no longer have; `delete_failures` takes them away once
            the items themselves are written, so that a kill before that leaves them to be tried again.
        """
        before = {row["failure_id"]: row["attempts"] for row in self._by_id(self.failures, tried, None)}
        now = _now()
        rows = {
            key: {**failure, "failure_id": key, "attempts": before.get(key, 0) + 1, "last_seen": now, "run_id": run_id}
            for failure in failures
            for key in [_failure_id(failure)]
        }
        self._upsert(self.failures, "failure_id", list(rows.values()))
        return [key for key in before if key not in rows]

    def delete_failures(self, failure_ids: Sequence[str]) -> None:
        """Remove failures."""
        for part in in_chunks(failure_ids):
            with self._writes():
                self.failures.delete(is_in("failure_id", part))

    def delete_items(self, item_ids: Sequence[str]) -> None:
        """Remove items with all that hangs on them; the item row goes last, so a kill leaves it to be found."""
        for part in in_chunks(item_ids):
            for table in (self.failures, self.views, self.items):
                with self._writes():
                    table.delete(is_in("item_id", part))

    def write_run(self, row: Mapping[str, Any]) -> None:
        """Upsert one row of `runs`; `settings` and `counts` are dictionaries."""
        self._upsert(
            self.runs,
            "run_id",
            [{**row, "settings": json.dumps(row["settings"]), "counts": json.dumps(row["counts"])}],
        )

    def maintain(self, table: Table, work: Callable[[Table], T]) -> T:
        """Do work on a table that changes no row of it, again from its newest version where a write came between.

        Raises:
            StoreError: it cannot be done, or others write all the time.
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

    # ---- a write of several tables, settled after a kill

    def begin_write(self, run_id: str, item_ids: Sequence[str], failures: Sequence[Failure] = ()) -> None:
        """Note in the run what the next writes are about, for `recover`; each replaces the note before it."""
        pending = json.dumps({"items": list(item_ids), "failures": [_failure_id(failure) for failure in failures]})
        with self._writes():
            self.runs.update(where=f"run_id = {quote(run_id)}", values={"pending": pending})

    def fail_run(self, run_id: str, counts: Mapping[str, Any]) -> None:
        """Mark a run as failed; what it was writing stays noted for `recover`."""
        values = {"outcome": "failed", "finished_at": _now(), "counts": json.dumps(counts)}
        with self._writes():
            self.runs.update(where=f"run_id = {quote(run_id)}", values=values)

    def recover(self, watch: tuple[str, str] | None = None) -> None:
        """Settle the writes that died half-way, and mark their runs; the caller holds the writer lock.

        Args:
            watch: run and item of the caller, where it holds `locks.watch_lock` of that item.
        """
        died = self.runs.search().where("outcome IN ('running', 'watching') OR pending IS NOT NULL").limit(None)
        for run in died.select(["run_id", "outcome", "pending", "settings"]).to_arrow().to_pylist():
            if run["outcome"] == "watching" and self._watch_is_running(run, watch):
                continue
            if run["pending"] is not None:
                self._settle(run["run_id"], **json.loads(run["pending"]))
            outcome = "killed" if run["outcome"] in {"running", "watching"} else run["outcome"]
            with self._writes():
                self.runs.update(
                    where=f"run_id = {quote(run['run_id'])}",
                    values_sql={"outcome": quote(outcome), "pending": "CAST(NULL AS STRING)"},
                )

    def _watch_is_running(self, run: Mapping[str, Any], own: tuple[str, str] | None) -> bool:
        """Whether a watch is under way: it holds the writer lock for its writes only. Not known where there are no
        locks; there its last write having ended is taken for it."""
        item_id = json.loads(run["settings"])["item_id"]
        if own is not None and own[1] == item_id:
            return bool(run["run_id"] == own[0])
        return run["pending"] is None if self.folder is None else is_watched(self.folder, item_id)

    def _settle(self, run_id: str, items: Sequence[str], failures: Sequence[str]) -> None:
        """Finish what was written of each item, or make it an item to be encoded again."""
        stored = {row["item_id"]: row["run_id"] for row in self._by_id(self.items, items, ["item_id", "run_id"])}
        committed = [item_id for item_id in items if stored.get(item_id) == run_id]
        listed = [row["failure_id"] for row in self._by_id(self.failures, committed, ["failure_id"])]
        self.delete_failures(sorted(set(listed) - set(failures)))
        self.delete_items([item_id for item_id in items if item_id not in stored])
        # their views may be of either version, so that no digest is true of them
        self.encode_again([item_id for item_id in stored if stored[item_id] != run_id])

    def encode_again(self, item_ids: Sequence[str]) -> None:
        """Empty the digests of items, so that the next index run encodes them again; searches find them until then."""
        for part in in_chunks(item_ids):
            with self._writes():
                self.items.update(where=is_in("item_id", part), values={"digest": ""})

    def _upsert(self, table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        once = {row[key]: row for row in rows}  # a new id twice in one batch would be inserted twice
        self._merge(table, key, pa.Table.from_pylist(list(once.values()), schema=table.schema))

    def _merge(self, table: Table, key: str, rows: pa.Table) -> None:
        with self._writes():
            # use_index(False): with the id index, concurrent upserts of one new id were seen to insert it twice;
            # on_bad_vectors: an item of which nothing could be encoded has no vector
            merge = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
            merge.use_index(False).execute(rows, on_bad_vectors="null")

    @contextlib.contextmanager
    def _writes(self) -> Iterator[None]:
        """Answer what LanceDB raises for a full disk, a lost connection or a conflicting write."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise StoreError(
                f"{self.uri} could not be written ({first_line(error)}); what was written before is safe: "
                "see that there is room and access, then run again"
            ) from error


def _missing(uri: str) -> str:
    return f"there is no database at {uri}; make one with: firstsight index CATALOGUE --db {uri}"


def _failure_id(failure: Failure) -> str:
    return hashlib.blake2b(f"{failure['item_id']}\n{failure['uri']}".encode(), digest_size=16).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
