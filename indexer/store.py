"""The LanceDB database: four tables, one encoder, one writer at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
from filelock import FileLock, Timeout
from lancedb.table import Table

from firstsight.encoders.base import EncoderSpec
from firstsight.errors import DatabaseBusyError, EncoderMismatchError, MissingDatabaseError, StoreError
from firstsight.indexer import tables
from firstsight.indexer.columns import ColumnKind, arrow_type, kind_of_arrow
from firstsight.indexer.tables import Failure

IDS_PER_LOOKUP = 1_000
"""Ids in one `IN (…)` filter: the planner's time grows with the list."""


class Store:
    """A database on disk or at an object-store address.

    Readers see the newest committed rows at each call and never wait. Writing calls belong inside
    `with store.writing():`.
    """

    def __init__(self, uri: str, spec: EncoderSpec, connection: lancedb.DBConnection) -> None:
        self.uri = uri
        self.spec = spec
        self._connection = connection
        self.items = connection.open_table("items")
        self.views = connection.open_table("views")
        self.failures = connection.open_table("failures")
        self.runs = connection.open_table("runs")

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> Store:
        """Open an existing database.

        Raises:
            MissingDatabaseError: there is none.
            StoreError: it was written by a newer firstsight.
        """
        uri = os.fspath(uri)
        missing = f"there is no database at {uri}; make one with: firstsight index CATALOGUE --db {uri}"
        if not _is_remote(uri) and not (Path(uri) / "items.lance").is_dir():
            raise MissingDatabaseError(missing)  # LanceDB's connect would make the folder
        connection = _connect(uri)
        try:
            items = connection.open_table("items")
        except (ValueError, FileNotFoundError):
            raise MissingDatabaseError(missing) from None
        return cls(uri, _stored_spec(uri, items), connection)

    @classmethod
    def create(cls, uri: str | os.PathLike[str], spec: EncoderSpec) -> Store:
        """Open a database, or make an empty one for this encoder; safe to repeat after a kill.

        Raises:
            EncoderMismatchError: it holds another encoder's vectors.
            StoreError: the folder holds something else, or cannot be written.
        """
        uri = os.fspath(uri)
        if not _is_remote(uri):
            _make_folder(Path(uri))
        connection = _connect(uri)
        metadata = json.dumps({"format": tables.FORMAT, "encoder": asdict(spec)}, sort_keys=True).encode()
        # items comes last: a database exists once it does, and then it is whole
        connection.create_table("runs", schema=tables.runs_schema(), exist_ok=True)
        connection.create_table("failures", schema=tables.failures_schema(), exist_ok=True)
        connection.create_table("views", schema=tables.views_schema(spec.dim), exist_ok=True)
        connection.create_table("items", schema=tables.items_schema(spec.dim, metadata), exist_ok=True)
        store = cls.open(uri)
        store.require(spec)
        return store

    def require(self, spec: EncoderSpec) -> None:
        """Refuse another encoder's vectors.

        Raises:
            EncoderMismatchError: naming both encoders.
        """
        if spec.fingerprint != self.spec.fingerprint:
            raise EncoderMismatchError(
                f"{self.uri} holds vectors of {self.spec.name} ({self.spec.fingerprint[:12]}), not of "
                f"{spec.name} ({spec.fingerprint[:12]}); their vectors do not compare. "
                f"Use --encoder {self.spec.name}, or index into another --db"
            )

    def refresh(self) -> None:
        """See what other processes have written since."""
        for table in (self.items, self.views, self.failures, self.runs):
            table.checkout_latest()

    @contextlib.contextmanager
    def writing(self, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the database's writer lock.

        A database at an object-store address has no lock: one writer at a time is its owner's care.

        Raises:
            DatabaseBusyError: another process holds it, named by process, host and start.
        """
        if _is_remote(self.uri):
            yield
            return
        folder = Path(self.uri)
        holder = folder / ".writer.json"
        lock = FileLock(folder / ".writer.lock")
        try:
            lock.acquire(timeout=wait_s)
        except Timeout:
            raise DatabaseBusyError(f"{self.uri} is being written {_describe(holder)}; wait for it (--wait 600)") from None
        try:
            holder.write_text(
                json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": _now().isoformat()})
            )
            self.refresh()
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

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
        """All views of these items."""
        parts = [
            self.views.search().where(_is_in("item_id", part)).limit(None).to_arrow() for part in _chunks(item_ids)
        ]
        return pa.concat_tables(parts) if parts else self.views.schema.empty_table()

    def failure_rows(self, item_ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Rows of `failures`, of these items or of all, in a stable order."""
        if item_ids is None:
            rows = self.failures.search().limit(None).to_arrow().to_pylist()
        else:
            rows = list(self._by_id(self.failures, item_ids, None))
        return sorted(rows, key=lambda row: (row["item_id"], row["uri"]))

    def item_ids(self) -> Iterator[list[str]]:
        """Every stored id, in batches."""
        for batch in self.items.search().select(["item_id"]).limit(None).to_batches(10_000):
            yield batch["item_id"].to_pylist()

    def run_rows(self) -> list[dict[str, Any]]:
        """Every index run, oldest first, with `settings` and `counts` as dictionaries."""
        rows = self.runs.search().limit(None).to_arrow().sort_by("started_at").to_pylist()
        return [row | {"settings": json.loads(row["settings"]), "counts": json.loads(row["counts"])} for row in rows]

    def _by_id(self, table: Table, item_ids: Sequence[str], columns: list[str] | None) -> Iterator[dict[str, Any]]:
        for part in _chunks(item_ids):
            query = table.search().where(_is_in("item_id", part)).limit(None)
            yield from (query.select(columns) if columns else query).to_arrow().to_pylist()

    # ---- writing: every call is safe to repeat

    def add_columns(self, kinds: Mapping[str, ColumnKind]) -> None:
        """Add the catalogue's columns that the items table does not have yet."""
        known = set(self.items.schema.names)
        new = [pa.field(name, arrow_type(kind)) for name, kind in kinds.items() if name not in known]
        if new:
            self.items.add_columns(new)

    def write_items(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Upsert rows of `items`; a column a row does not name becomes null."""
        _upsert(self.items, "item_id", rows)

    def write_views(self, rows: Sequence[Mapping[str, Any]], replaced: Sequence[str]) -> None:
        """Upsert views, and drop the views that `replaced` items had and no longer have."""
        _upsert(self.views, "view_id", rows)
        kept: dict[str, list[str]] = {}
        for row in rows:
            kept.setdefault(row["item_id"], []).append(row["view_id"])
        for part in _chunks(replaced):
            keep = [view_id for item_id in part for view_id in kept.get(item_id, ())]
            stale = _is_in("item_id", part)
            self.views.delete(f"{stale} AND NOT ({_is_in('view_id', keep)})" if keep else stale)

    def write_failures(self, failures: Sequence[Failure], run_id: str, tried: Sequence[str]) -> None:
        """Replace the failures of the items just tried, counting attempts on."""
        before = {row["failure_id"]: row["attempts"] for row in self._by_id(self.failures, tried, None)}
        now = _now()
        rows = {
            key: {**failure, "failure_id": key, "attempts": before.get(key, 0) + 1, "last_seen": now, "run_id": run_id}
            for failure in failures
            for key in [_failure_id(failure)]
        }
        _upsert(self.failures, "failure_id", list(rows.values()))
        mended = [key for key in before if key not in rows]
        for part in _chunks(mended):
            self.failures.delete(_is_in("failure_id", part))

    def delete_items(self, item_ids: Sequence[str]) -> None:
        """Remove items with all that hangs on them; the item row goes last, so a kill leaves it to be found."""
        for part in _chunks(item_ids):
            for table in (self.failures, self.views, self.items):
                table.delete(_is_in("item_id", part))

    def write_run(self, row: Mapping[str, Any]) -> None:
        """Upsert one row of `runs`; `settings` and `counts` are dictionaries."""
        _upsert(
            self.runs,
            "run_id",
            [{**row, "settings": json.dumps(row["settings"]), "counts": json.dumps(row["counts"])}],
        )

    def mark_killed_runs(self) -> bool:
        """Mark runs that died: whoever holds the writer lock knows that a run still called running is not.

        Returns:
            Whether any run ever died, so that views without an item may be lying about.
        """
        self.runs.update(where="outcome = 'running'", values={"outcome": "killed"})
        return self.runs.count_rows("outcome IN ('killed', 'failed')") > 0


def _connect(uri: str) -> lancedb.DBConnection:
    try:
        return lancedb.connect(uri)
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{uri} cannot be opened: {error}") from None


def _is_remote(uri: str) -> bool:
    return "://" in uri


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [p.name for p in folder.iterdir() if p.suffix != ".lance" and not p.name.startswith(".")]
    except OSError as error:
        raise StoreError(f"{folder} cannot be used as a database ({error.strerror}); choose another --db") from None
    if strangers:
        raise StoreError(f"{folder} holds other things ({strangers[0]}); give the database a folder of its own with --db")


def _stored_spec(uri: str, items: Table) -> EncoderSpec:
    raw = (items.schema.metadata or {}).get(tables.SPEC_KEY)
    if raw is None:
        raise StoreError(f"{uri} has an items table that firstsight did not make; choose another --db")
    stored = json.loads(raw)
    if stored["format"] > tables.FORMAT:
        raise StoreError(f"{uri} was written by a newer firstsight (layout {stored['format']}); upgrade firstsight")
    return EncoderSpec(**stored["encoder"])


def _describe(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text())
        return f"by process {facts['pid']} on {facts['host']} since {facts['since'][:19]}Z"
    except (OSError, ValueError, KeyError):
        return "by another process"


def _upsert(table: Table, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    # use_index(False): with the id index, concurrent upserts of one new id were seen to insert it twice
    table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all().use_index(False).execute(
        pa.Table.from_pylist(list(rows), schema=table.schema)
    )


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + IDS_PER_LOOKUP] for start in range(0, len(ids), IDS_PER_LOOKUP))


def _is_in(column: str, ids: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(quote(i) for i in ids)})"


def quote(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _failure_id(failure: Failure) -> str:
    return hashlib.blake2b(f"{failure['item_id']}\n{failure['uri']}".encode(), digest_size=16).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
