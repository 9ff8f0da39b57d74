"""Rows of a database: reads by id, and writes that are safe to repeat."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import StoreError
from firstsight.storage import tables
from firstsight.storage.columns import ColumnKind, arrow_type, kind_of_arrow
from firstsight.storage.facts.view_fact_table import delete_view_facts
from firstsight.storage.live_pictures import delete_live_pictures
from firstsight.storage.sets.standby_rows import standby_kept
from firstsight.storage.sql.conditions import in_chunks, is_in, quote, quote_name
from firstsight.storage.table_store import TableStore
from firstsight.storage.tables import FailureRow
from firstsight.storage.timed_product_table import delete_entries_of_items
from firstsight.storage.upgrade import apply_upgrade
from firstsight.storage.vector_format import to_float32
from firstsight.storage.video_print_table import delete_prints

log = logging.getLogger(__name__)


class Store(TableStore):
    """A database on disk or at an object-store address.

    Readers get the newest committed rows at each call and never wait. Call the writing methods inside
    `with store.writing():`. At the end of that block, the vector set that is not in force gets the same rows.
    """

    @contextlib.contextmanager
    def writing(self, wait_s: float = 0.0, *, brief: bool = False) -> Iterator[None]:
        """Hold the writer lock; a database of an earlier layout is upgraded first.

        Args:
            wait_s: maximum wait for another writer, in seconds.
            brief: the caller holds the lock for one batch of many; see `writer_lock`.

        Raises:
            DatabaseBusyError: another process still holds the lock after `wait_s`; the message names its process id,
                host and start.
            StoreError: the database cannot be upgraded, or a newer firstsight has upgraded it.
        """
        with self.locked(wait_s, brief=brief):
            apply_upgrade(self, on_progress=lambda line: log.warning("%s: %s", self.uri, line))
            with standby_kept(self):
                yield

    # ---- reading

    def column_kinds(self) -> dict[str, ColumnKind]:
        """Kinds of the catalogue's own columns, by name."""
        return {
            field.name: kind_of_arrow(field.type)
            for field in self.items.schema
            if field.name not in tables.OWN_COLUMNS and not tables.is_fact_column(field.name)
        }

    def filter_kinds(self) -> dict[str, ColumnKind]:
        """Kinds of all columns of `items` that filters and results show, by name; not those of facts."""
        return {f.name: kind_of_arrow(f.type) for f in self.items.schema if tables.is_shown_column(f.name)}

    def column_states(self) -> list[tuple[str, ColumnKind, int]]:
        """Name, kind and number of items without a value of each column that filters can use.

        Reads these columns: 0.1 s for 17 columns of 100,000 items on a laptop.
        """
        return [
            (name, kind, self.items.count_rows(f"{quote_name(name)} IS NULL"))
            for name, kind in self.filter_kinds().items()
        ]

    def digests(self, item_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """`(digest, row_digest)` of the stored items, by id; ids without an item are left out."""
        rows = self._by_id(self.items, item_ids, ["item_id", "digest", "row_digest"])
        return {row["item_id"]: (row["digest"], row["row_digest"]) for row in rows}

    def item_rows(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Complete rows of `items`, by id; ids without an item are left out."""
        return {row["item_id"]: row for row in self._by_id(self.items, item_ids, None)}

    def column_values(self, item_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Values of these columns, by item id; ids without an item are left out."""
        rows = self._by_id(self.items, list(dict.fromkeys(item_ids)), list(dict.fromkeys(["item_id", *names])))
        return {row["item_id"]: {name: row[name] for name in names} for row in rows}

    def view_rows(self, item_ids: Sequence[str]) -> pa.Table:
        """All views of these items, with all columns of the current layout."""
        parts = list(self.rows_by_id(self.views, item_ids))
        rows = pa.concat_tables(parts) if parts else to_float32(self.views.schema.empty_table())
        for field in tables.missing_view_columns(rows.schema):  # a database before its upgrade, or an earlier snapshot
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
        return rows

    def failure_rows(self) -> list[dict[str, Any]]:
        """All rows of `failures`, sorted by item and address."""
        rows: list[dict[str, Any]] = self.failures.search().limit(None).to_arrow().to_pylist()
        return sorted(rows, key=lambda row: (row["item_id"], row["uri"]))

    def failure_ids(self, item_ids: Sequence[str]) -> set[str]:
        """Primary keys of all failures of these items."""
        return {row["failure_id"] for row in self._by_id(self.failures, item_ids, ["failure_id"])}

    def last_runs(self, item_ids: Sequence[str]) -> dict[str, str]:
        """The run that wrote each item last, by item id; ids without an item are left out."""
        rows = self._by_id(self.items, item_ids, ["item_id", "run_id"])
        return {row["item_id"]: row["run_id"] for row in rows}

    def item_ids(self) -> Iterator[list[str]]:
        """Yield all stored item ids in batches of up to 10,000."""
        for batch in self.items.search().select(["item_id"]).limit(None).to_batches(10_000):
            yield [str(item_id) for item_id in batch["item_id"].to_pylist()]

    def run_rows(self) -> list[dict[str, Any]]:
        """All rows of `runs`, oldest first, with `settings` and `counts` as dictionaries."""
        rows = self.runs.search().limit(None).to_arrow().drop_columns("pending").sort_by("started_at").to_pylist()
        return [
            {name: json.loads(value) if name in {"settings", "counts"} else value for name, value in row.items()}
            for row in rows
        ]

    def safety_rows(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Safety columns of the items with a decision, by id; other ids are left out."""
        if "safety_decision" not in self.items.schema.names:
            return {}
        rows = self._by_id(self.items, item_ids, ["item_id", *tables.SAFETY_COLUMNS])
        return {row.pop("item_id"): row for row in rows if row["safety_decision"] is not None}

    def blocked(self, item_ids: Sequence[str]) -> set[str]:
        """The ids that a safety decision keeps out of searches."""
        rows = self.safety_rows(item_ids)
        return {item_id for item_id, row in rows.items() if row["safety_decision"] == "block"}

    def _by_id(self, table: Table, item_ids: Sequence[str], columns: list[str] | None) -> Iterator[dict[str, Any]]:
        for part in self.rows_by_id(table, item_ids, columns=columns):
            yield from part.to_pylist()

    # ---- writing: each call is safe to repeat

    def add_columns(self, kinds: Mapping[str, ColumnKind]) -> None:
        """Add new columns of the catalogue to the items table.

        Raises:
            StoreError: another process has added a column with another kind since the catalogue was checked, or the
                table cannot be written.
        """
        known = self.column_kinds()
        for name in kinds.keys() & known.keys():
            if kinds[name] != known[name]:
                raise StoreError(f"another run has just added column {name!r} as {known[name]}; run again")
        new = [pa.field(name, arrow_type(kind)) for name, kind in kinds.items() if name not in known]
        if new:
            with self._writes():
                self.items.add_columns(new)

    def write_safety(self, columns: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the safety columns of items in one commit.

        The call writes complete rows. An update of single columns would rewrite the rows as well and take as long;
        LanceDB refuses a merge of single columns because of the key. Written rows leave the indexes until the next
        upkeep, so pass changed items only.

        Args:
            columns: item id to values, by name of the column; a missing column becomes null.
        """
        new = [pa.field(n, t) for n, t in tables.SAFETY_COLUMNS.items() if n not in self.items.schema.names]
        if new:
            with self._writes():
                self.items.add_columns(new)
        stored = list(self.rows_by_id(self.items, list(columns)))
        if not stored:
            return
        rows = pa.concat_tables(stored)  # kept as Arrow: vectors as Python lists take eight times the memory
        values = [columns[str(item_id)] for item_id in rows["item_id"].to_pylist()]
        for name, kind in tables.SAFETY_COLUMNS.items():
            index = rows.schema.get_field_index(name)
            rows = rows.set_column(index, name, pa.array([of_item.get(name) for of_item in values], kind))
        self.merge_item_rows(rows)

    def write_items(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Upsert rows of `items`; a column that is missing in a row becomes null."""
        self.note_changed(row["item_id"] for row in rows)
        self._upsert(self.items, "item_id", rows)

    def merge_item_rows(self, rows: pa.Table) -> None:
        """Upsert complete rows of `items`, kept as Arrow; they leave the indexes until the next upkeep."""
        self.note_changed(map(str, rows["item_id"].to_pylist()))
        self._merge(self.items, "item_id", rows)

    def write_views(self, rows: Sequence[Mapping[str, Any]], replaced: Sequence[str]) -> None:
        """Upsert views, and delete all other views of the `replaced` items.

        Args:
            rows: rows of `views`.
            replaced: ids of the items that were stored before.
        """
        self.note_changed([*(row["item_id"] for row in rows), *replaced])
        self._upsert(self.views, "view_id", rows)
        kept: dict[str, list[str]] = {}
        for row in rows:
            kept.setdefault(row["item_id"], []).append(row["view_id"])
        for part in in_chunks(replaced):
            keep = [view_id for item_id in part for view_id in kept.get(item_id, ())]
            stale = is_in("item_id", part)
            delete_live_pictures(self, items=part)
            with self._writes():
                self.views.delete(f"{stale} AND NOT ({is_in('view_id', keep)})" if keep else stale)

    def delete_views(self, view_ids: Sequence[str]) -> None:
        """Delete views, with their stored pictures and facts."""
        self.note_changed(view_id.rpartition("#")[0] for view_id in view_ids)
        delete_live_pictures(self, views=view_ids)
        delete_view_facts(self, views=view_ids)
        for part in in_chunks(view_ids):
            with self._writes():
                self.views.delete(is_in("view_id", part))

    def write_failures(self, failures: Sequence[FailureRow], run_id: str, tried: Sequence[str]) -> list[str]:
        """Upsert failures, and increase the attempts of the known ones.

        Args:
            failures: new and repeated failures.
            run_id: the run that met them.
            tried: ids of all items that the run has just tried.

        Returns:
            Ids of the earlier failures of these items that did not occur again. Pass them to `delete_failures` after
            the items are written: a kill before that leaves them for another retry.
        """
        before = {row["failure_id"]: row["attempts"] for row in self._by_id(self.failures, tried, None)}
        now = datetime.now(UTC)
        rows = {
            key: {**failure, "failure_id": key, "attempts": before.get(key, 0) + 1, "last_seen": now, "run_id": run_id}
            for failure in failures
            for key in [failure_id(failure)]
        }
        self._upsert(self.failures, "failure_id", list(rows.values()))
        return [key for key in before if key not in rows]

    def delete_failures(self, failure_ids: Sequence[str]) -> None:
        """Delete failures."""
        for part in in_chunks(failure_ids):
            with self._writes():
                self.failures.delete(is_in("failure_id", part))

    def delete_items(self, item_ids: Sequence[str]) -> None:
        """Delete items with all their rows; the row of `items` goes last, so that a kill cannot hide leftovers."""
        self.note_changed(item_ids)
        for part in in_chunks(item_ids):
            delete_prints(self, part)
            delete_entries_of_items(self, part)
            delete_live_pictures(self, items=part)
            delete_view_facts(self, items=part)
            for table in (self.failures, self.views, self.items):
                with self._writes():
                    table.delete(is_in("item_id", part))

    def write_run(self, row: Mapping[str, Any]) -> None:
        """Upsert a row of `runs`; `settings` and `counts` are dictionaries."""
        self._upsert(
            self.runs,
            "run_id",
            [{**row, "settings": json.dumps(row["settings"]), "counts": json.dumps(row["counts"])}],
        )

    def update_run(self, run_id: str, values: Mapping[str, Any] | None = None, **sql: str) -> None:
        """Update columns of a row of `runs`.

        Args:
            values: new values by column; not together with `sql`.
            sql: new values as SQL expressions by column.
        """
        with self._writes():
            self.runs.update(
                where=f"run_id = {quote(run_id)}", values=dict(values) if values else None, values_sql=sql or None
            )

    def encode_again(self, item_ids: Sequence[str]) -> None:
        """Empty the digests of items, so that the next index run encodes them; searches find them until then."""
        self.note_changed(item_ids)
        for part in in_chunks(item_ids):
            with self._writes():
                self.items.update(where=is_in("item_id", part), values={"digest": ""})


def failure_id(failure: FailureRow) -> str:
    """Primary key of a failure: a digest of its item and address."""
    return hashlib.blake2b(f"{failure['item_id']}\n{failure['uri']}".encode(), digest_size=16).hexdigest()
