"""Upkeep of a database's files and indexes: decide when they need work, and do it.

Each write leaves a new version, a small file, and rows outside the indexes. LanceDB's `optimize` merges small files,
adds new rows to the indexes and removes old versions. This module decides from a few reads of metadata when to call it,
and builds and measures the vector indexes. A kill at any moment loses the running step but no row: LanceDB commits each
step as a whole. Readers continue with their version.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args
from uuid import uuid4

from lancedb.index import BTree
from lancedb.table import Table

from firstsight.errors import StoreError
from firstsight.records import Record
from firstsight.storage.indexes import vector_index
from firstsight.storage.indexes.index_recall import tune
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store
from firstsight.storage.tables import KEYS
from firstsight.storage.vector_sets import base_name

COMMITS = 100
"""Commits to a table after which upkeep merges its small files and removes its old versions."""

CHECK_COMMITS = 20
"""Commits to `items` between two checks for due upkeep during a run."""

KEEP_VERSIONS_FOR = timedelta(hours=6)
"""Time for which upkeep keeps a version after the next one replaced it, for readers that still use it."""

TAIL_ROWS = 10_000
"""Maximum number of rows outside the vector index: 10,000 of them add 4 to 8 ms to a search."""

TAIL_SHARE = 0.01
"""The same limit during a run, as a share of the rows; the larger one applies."""

GROWTH = 1.5
"""Growth of the table since the build of its vector index at which upkeep builds it again."""

SEGMENTS = 16
"""Segments of a vector index at which upkeep builds it again as one; each extension adds a segment."""

IDS_MIN_ROWS = 50_000
"""Minimum rows of a table with an index of ids; below it reading the column is as fast."""

_STRAY_AGE_S = 3600.0
_METADATA = "firstsight:optimized"

UpkeepStep = Literal["compact", "ids", "build", "measure"]
"""compact: merge files, extend indexes, remove old versions; ids: index the ids of items and products; build: build the
vector index; measure: measure its recall."""


@dataclass(frozen=True)
class TableState(Record):
    """State of a table's files and indexes."""

    table: str
    rows: int
    fragments: int
    commits: int  # since the last compaction
    id_index: bool
    unindexed: int  # rows outside the vector index; 0 without an index
    segments: int  # of the vector index
    tuning: vector_index.IndexTuning | None  # of the vector index; None if search is exact
    group_index: bool = True  # False if the table has ids of products without an index


@dataclass(frozen=True)
class TableUpkeep(Record):
    """Upkeep of one table, with its state before and after."""

    steps: tuple[UpkeepStep, ...]
    seconds: float
    build_seconds: float  # of the vector index alone
    before: TableState
    after: TableState
    versions: tuple[int, int]  # before and after
    disk_bytes: tuple[int, int] | None  # before and after, with old versions; None at an object-store address


@dataclass(frozen=True)
class UpkeepReport(Record):
    """Result of an upkeep; `tables` has the tables that needed work."""

    run_id: str
    seconds: float
    tables: tuple[TableUpkeep, ...]
    stray_files: int = 0  # removed files of killed writes


def table_state(table: Table) -> TableState:
    """Read a table's state from its metadata; the time does not grow with its rows."""
    stats = cast("dict[str, Any]", table.stats())  # typed as a class, but a dictionary
    indexes = {index.name: index for index in table.list_indices()}
    vectors = indexes.get(vector_index.NAME)
    schema = table.schema
    optimized = (schema.field(KEYS[base_name(table.name)]).metadata or {}).get(_METADATA.encode(), b"0")
    tuning = vector_index.stored_tuning(table) if vectors else None
    return TableState(
        table=table.name,
        rows=stats["num_rows"],
        fragments=stats["fragment_stats"]["num_fragments"],
        commits=table.version - int(optimized),
        id_index=any(index.columns == ["item_id"] for index in indexes.values()),
        unindexed=(vectors.num_unindexed_rows or 0) if vectors else 0,
        segments=(vectors.num_segments or 0) if vectors else 0,
        tuning=tuning,
        group_index=GROUP_COLUMN not in schema.names
        or any(index.columns == [GROUP_COLUMN] for index in indexes.values()),
    )


def steps_due(state: TableState, *, during_run: bool = False) -> tuple[UpkeepStep, ...]:
    """List the upkeep that a table needs, in order.

    Args:
        during_run: leave work that can wait to the end of the run.
    """
    steps: list[UpkeepStep] = []
    tail = max(TAIL_ROWS, TAIL_SHARE * state.rows) if during_run else TAIL_ROWS
    extend = state.unindexed > tail
    if state.commits >= COMMITS or extend:
        steps.append("compact")
    if base_name(state.table) in _SEARCHED:
        if not (state.id_index and state.group_index) and state.rows >= IDS_MIN_ROWS:
            steps.append("ids")
        if state.rows >= vector_index.MIN_ROWS and _build_due(state):
            steps.append("build")
        if "build" in steps or (extend and not during_run):
            steps.append("measure")
    return tuple(steps)


_SEARCHED = ("items", "views")


def _build_due(state: TableState) -> bool:
    tuning = state.tuning
    if tuning is None or tuning.recall is None:  # no index, or a kill between its build and its measurement
        return True
    return state.rows >= GROWTH * tuning.rows or state.segments >= SEGMENTS


def run_upkeep(
    store: Store,
    *,
    by_hand: bool = False,
    rebuild: bool = False,
    during_run: bool = False,
    on_step: Callable[[str, UpkeepStep], None] = lambda table, step: None,
) -> UpkeepReport | None:
    """Do all due upkeep, also of the vector set that is not in force; the caller holds the writer lock.

    Args:
        by_hand: compact and measure all tables, due or not.
        rebuild: build the vector indexes again, in tables with enough rows; only with `by_hand`.
        during_run: leave work that can wait to the end of the run.
        on_step: called with the table's name and the step when a step begins.

    Returns:
        A report, which is also written to `runs`; None if nothing was due.

    Raises:
        StoreError: the database cannot be written, such as on a full disk; no row is lost.
    """
    started, began = time.monotonic(), datetime.now(UTC)
    upkeeps = []
    standby = store.standby
    for table in (*store.tables, *((standby.items, standby.views) if standby is not None else ())):
        state = table_state(table)
        steps = steps_due(state, during_run=during_run)
        if by_hand:
            steps = _manual_steps(state, steps, rebuild)
        if steps:
            upkeeps.append(_maintain_table(store, table, state, steps, on_step))
    if not upkeeps:
        return None
    strays = sum(_remove_strays(store, upkeep.after.table) for upkeep in upkeeps)
    run_id = f"{began:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
    report = UpkeepReport(run_id, time.monotonic() - started, tuple(upkeeps), strays)
    _record(store, report, began, by_hand=by_hand)
    return report


def _manual_steps(state: TableState, due: tuple[UpkeepStep, ...], rebuild: bool) -> tuple[UpkeepStep, ...]:
    steps: set[UpkeepStep] = {*due, "compact"}
    if rebuild and base_name(state.table) in _SEARCHED and state.rows >= vector_index.MIN_ROWS:
        steps.add("build")
    if state.tuning is not None or "build" in steps:
        steps.add("measure")
    return tuple(step for step in get_args(UpkeepStep) if step in steps)


def _maintain_table(
    store: Store,
    table: Table,
    before: TableState,
    steps: tuple[UpkeepStep, ...],
    on_step: Callable[[str, UpkeepStep], None],
) -> TableUpkeep:
    started, build_seconds = time.monotonic(), 0.0
    versions, size = len(table.list_versions()), _disk_bytes(store, table)
    tuning = before.tuning
    for step in steps:
        on_step(table.name, step)
        step_started = time.monotonic()
        if step == "compact":
            store.maintain(table, _compact)
        elif step == "ids":
            store.maintain(table, partial(_index_ids, before=before))
        elif step == "build":
            tuning = store.maintain(table, vector_index.build_index)
            build_seconds = time.monotonic() - step_started
        elif tuning is not None:
            tuning = tune(table, tuning)
            store.maintain(table, partial(vector_index.store_tuning, tuning=tuning))
    if "compact" in steps:
        store.maintain(table, _note_optimized)
    after = table_state(table)
    sizes = None if size is None else (size, _disk_bytes(store, table) or 0)
    seconds = time.monotonic() - started
    return TableUpkeep(steps, seconds, build_seconds, before, after, (versions, len(table.list_versions())), sizes)


def _index_ids(table: Table, before: TableState) -> None:
    if not before.id_index:
        table.create_index("item_id", config=BTree())
    if not before.group_index:
        table.create_index(GROUP_COLUMN, config=BTree())


def _compact(table: Table) -> None:
    table.optimize(cleanup_older_than=_version_age_to_keep(table))


def _version_age_to_keep(table: Table) -> timedelta:
    """Age up to which versions stay.

    The version that was the newest `KEEP_VERSIONS_FOR` ago stays, however old it is: a reader may have opened it just
    before a later write. A tag keeps all versions since its own: LanceDB cannot skip a tagged version.
    """
    now = datetime.now().astimezone()
    made: dict[int, datetime] = {v["version"]: v["timestamp"].astimezone() for v in table.list_versions()}
    current_then = max((time for time in made.values() if time <= now - KEEP_VERSIONS_FOR), default=now)
    # LanceDB merges files first, and subtracts the age from the time after that
    margin = KEEP_VERSIONS_FOR / 6
    tags = [made[tag["version"]] for tag in table.tags.list().values() if tag["version"] in made]
    oldest = min([current_then - margin, *(time - max(margin, timedelta(minutes=1)) for time in tags)])
    return max(KEEP_VERSIONS_FOR, now - oldest)


def _note_optimized(table: Table) -> None:
    """Note the version of this compaction, for `TableState.commits`; the note makes a version, too."""
    metadata = {_METADATA: str(table.version + 1)}
    table.update_field_metadata({"path": KEYS[base_name(table.name)], "metadata": metadata})


def _remove_strays(store: Store, name: str) -> int:
    """Remove temporary files of killed writes, which LanceDB's cleanup leaves.

    The writer lock excludes other firstsight writers. Files of the last hour stay, because other programs may write
    them.
    """
    if store.folder is None:
        return 0
    removed = 0
    for path in (store.folder / f"{name}.lance" / "data").glob(".tmp*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STRAY_AGE_S:
                path.unlink()
                removed += 1
    return removed


def _disk_bytes(store: Store, table: Table) -> int | None:
    if store.folder is None:
        return None
    return sum(_size(path) for path in (store.folder / f"{table.name}.lance").rglob("*"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed in the meantime
        return 0


def _record(store: Store, report: UpkeepReport, began: datetime, *, by_hand: bool, error: str | None = None) -> None:
    counts: dict[str, Any] = asdict(report) if error is None else {"error": error}
    store.write_run(
        {
            "run_id": report.run_id,
            "started_at": began,
            "finished_at": datetime.now(UTC),
            "outcome": "finished" if error is None else "failed",
            "source": "",
            "encoder": store.spec.name,
            "fingerprint": store.spec.fingerprint,
            "settings": {"kind": "optimize", "by_hand": by_hand},
            "counts": counts,
        }
    )


class RunUpkeep:
    """Upkeep during and after an index run; its errors do not stop the run, and are recorded in `runs`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checked = store.items.version

    def after_write(self) -> None:
        """Check for due upkeep; call it after each write, while no other write runs."""
        if self._store.items.version - self._checked >= CHECK_COMMITS:
            self._run_upkeep(during_run=True)
            self._checked = self._store.items.version

    def at_end(self) -> None:
        """Do all due upkeep; call it after the run is recorded as finished."""
        self._run_upkeep(during_run=False)

    def _run_upkeep(self, *, during_run: bool) -> None:
        try:
            run_upkeep(self._store, during_run=during_run)
        except (StoreError, ValueError) as error:  # ValueError: from LanceDB, such as for too few vectors
            report = UpkeepReport(f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}", 0.0, ())
            with contextlib.suppress(StoreError):
                _record(self._store, report, datetime.now(UTC), by_hand=False, error=str(error))
