"""The table `safety_scores`: scores of every scored item, and its decision with the evidence.

Scores are stored here and not in `items`, because a write to a row of `items` removes it from the vector index. Only
items that are blocked, in review or age-limited are written there. A scoring stages its rows in another table. After
the scoring is logged, `put_in_force` commits them here and updates the columns of `items`. Each step can be repeated
after a kill.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lancedb.table import Table

from firstsight.errors import StoreError
from firstsight.heads.view_sample import texts
from firstsight.safety.policy.decisions import Decision
from firstsight.storage.side_tables import open_side_table, unwritable
from firstsight.storage.sql.conditions import in_chunks, is_in, quote
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "safety_scores"
STAGED = "safety_scores_staged"
"""Table with the rows of a scoring that is not in force yet."""

SCORING = "safety score"
"""Kind of a scoring's row in `runs`."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("item_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("decision", pa.string(), nullable=False),
    pa.field("min_age", pa.int64()),
    pa.field("policies", pa.string(), nullable=False),  # ids in the order of the scores, joined by blanks
    pa.field(
        "scores", pa.list_(pa.float32()), nullable=False
    ),  # probabilities; null if the policy looks at no view of the item
    pa.field("policy_version", pa.string(), nullable=False),
    pa.field("record", pa.string()),  # the whole `Decision` as JSON; null for items without flags
    pa.field("standing", pa.string()),  # digest of the item's `Override`; null without one
    pa.field("scored_at", TIME, nullable=False),
]
SCHEMA = pa.schema(_FIELDS)

ROWS_PER_COMMIT = 20_000
"""Rows of `items` per commit: more take more memory, and a kill leaves more work to the next scoring."""


class ScoreTable:
    """The scores of one database. The caller of a writing method holds the writer lock."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(self) -> Table | None:
        """Open the table; None if the database was never scored."""
        return open_side_table(self.store, TABLE)

    def stage(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Replace the staged rows, in one commit.

        Args:
            batches: rows with the schema `SCHEMA`.

        Raises:
            StoreError: the database cannot be written.
        """
        self._create(STAGED, batches)

    def put_in_force(self, settings: Mapping[str, Any]) -> int:
        """Put staged rows in force: in this table, then in `items`; then add the scoring to `runs`.

        Args:
            settings: `replace`: True to replace all rows, False to replace only the rows of the same items; `gone`:
                ids of items to remove; `run`: the row of `runs` without `finished_at`, with `started_at` as a text.

        Returns:
            Number of written rows of `items`.

        Raises:
            StoreError: the database cannot be written, or the staged rows are lost.
        """
        began, run = time.monotonic(), settings["run"]
        staged = open_side_table(self.store, STAGED)
        if staged is None:
            raise StoreError(f"{self.store.uri} has lost its table {STAGED}; restore it from a copy")
        if settings["replace"]:
            self._create(TABLE, staged.search().limit(None).to_batches(ROWS_PER_COMMIT))
        else:
            self._update(staged.to_arrow())
        self._remove(settings["gone"])
        written = self._sync_items()
        counts = run["counts"] | {"written": written, "seconds": run["counts"]["seconds"] + time.monotonic() - began}
        started_at = datetime.fromisoformat(run["started_at"])
        self.store.write_run(run | {"started_at": started_at, "finished_at": datetime.now(UTC), "counts": counts})
        return written

    def drop_staged(self) -> None:
        """Drop the staged rows.

        Raises:
            StoreError: the database cannot be written.
        """
        if open_side_table(self.store, STAGED) is None:
            return
        try:
            self.store.session.drop_table(STAGED)
        except (OSError, RuntimeError) as error:
            raise unwritable(self.store, error) from error

    def _create(self, name: str, batches: Iterable[pa.RecordBatch]) -> None:
        reader = pa.RecordBatchReader.from_batches(SCHEMA, batches)
        try:
            self.store.session.create_table(name, reader, schema=SCHEMA, mode="overwrite")
        except (OSError, RuntimeError) as error:
            raise unwritable(self.store, error) from error

    def _update(self, rows: pa.Table) -> None:
        """Upsert rows, in one commit."""
        table = self.open()
        assert table is not None  # a scoring of some items needs an earlier scoring of all
        if not rows.num_rows:
            return
        try:
            merge = table.merge_insert("item_id").when_matched_update_all().when_not_matched_insert_all()
            merge.use_index(False).execute(rows)
        except (OSError, RuntimeError) as error:
            raise unwritable(self.store, error) from error

    def _remove(self, item_ids: Sequence[str]) -> None:
        """Remove items."""
        table = self.open()
        if table is None:
            return
        for part in in_chunks(item_ids):
            try:
                table.delete(is_in("item_id", part))
            except (OSError, RuntimeError) as error:
                raise unwritable(self.store, error) from error

    def row(self, item_id: str) -> dict[str, Any] | None:
        """Read an item's row, with `scores` by policy id and `record` as a `Decision`; None without a row."""
        table = self.open()
        if table is None:
            return None
        rows = table.search().where(f"item_id = {quote(item_id)}").limit(None).to_arrow().to_pylist()
        return _parse_row(rows[0]) if rows else None

    def scores(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """Read all rows in batches.

        Yields:
            Item ids, and policy id -> (n,) float32 scores; NaN if the policy looks at no view of the item.
        """
        table = self.open()
        if table is None:
            return
        for batch in table.search().select(["item_id", "policies", "scores"]).limit(None).to_batches(50_000):
            if batch.num_rows:
                names = batch["policies"][0].as_py().split()
                flat = pc.list_flatten(batch["scores"]).to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
                yield texts(batch["item_id"]), {name: flat[:, n] for n, name in enumerate(names)}

    def decisions(self) -> dict[str, str]:
        """Return item id -> decision of the items to review or block."""
        table = self.open()
        if table is None:
            return {}
        rows = table.search().where("decision != 'allow'").select(["item_id", "decision"]).limit(None).to_arrow()
        return dict(zip(texts(rows["item_id"]), texts(rows["decision"]), strict=True))

    def items_with_decision(self) -> set[str]:
        """Return the items with a decision or an age limit in `items`."""
        if "safety_decision" not in self.store.items.schema.names:
            return set()
        rows = self.store.items.search().where("safety_decision IS NOT NULL").select(["item_id"]).limit(None)
        return set(texts(rows.to_arrow()["item_id"]))

    def _sync_items(self) -> int:
        """Update `items` from this table; return the number of written items."""
        table = self.open()
        target: dict[str, dict[str, Any]] = {}
        if table is not None:
            limited = "decision != 'allow' OR min_age IS NOT NULL"
            for row in table.search().where(limited).limit(None).to_arrow().to_pylist():
                target[row["item_id"]] = {
                    "safety_decision": row["decision"],
                    "safety_scores": json.dumps(_parse_row(row)["scores"]),
                    "safety_policy_version": row["policy_version"],
                    "safety_min_age": row["min_age"],
                }
        current = self._in_items()
        changed = {item_id: columns for item_id, columns in target.items() if current.get(item_id) != columns}
        new = sorted(changed.keys() - current.keys())
        gone = set(new) - self.store.digests(new).keys()  # removed from the catalogue since the scoring
        self._remove(sorted(gone))
        changed = {item_id: columns for item_id, columns in changed.items() if item_id not in gone}
        changed |= {item_id: {} for item_id in current.keys() - target.keys()}
        ids = sorted(changed)
        for start in range(0, len(ids), ROWS_PER_COMMIT):
            self.store.write_safety({item_id: changed[item_id] for item_id in ids[start : start + ROWS_PER_COMMIT]})
        if not ids and "safety_decision" not in self.store.items.schema.names:
            self.store.write_safety({})
        return len(ids)

    def _in_items(self) -> dict[str, dict[str, Any]]:
        if "safety_decision" not in self.store.items.schema.names:
            return {}
        columns = ["safety_decision", "safety_scores", "safety_policy_version", "safety_min_age"]
        rows = self.store.items.search().where("safety_decision IS NOT NULL").select(["item_id", *columns])
        return {row.pop("item_id"): row for row in rows.limit(None).to_arrow().to_pylist()}


def _parse_row(row: Mapping[str, Any]) -> dict[str, Any]:
    pairs = zip(row["policies"].split(), row["scores"], strict=True)
    scores = {name: round(score, 4) for name, score in pairs if score is not None and score == score}
    record = None if row["record"] is None else Decision.from_dict(json.loads(row["record"]))
    return {**row, "scores": scores, "record": record}
