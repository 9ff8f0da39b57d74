"""Upkeep: when a database's files and indexes need work, and that work.

Every write leaves a version and a small file behind, and rows that no index knows. LanceDB's own `optimize` merges
small files, adds new rows to the indexes and removes old versions; what is here decides when, from a few reads of
metadata, and builds and measures the vector indexes (`vector_index.py`). A kill at any moment costs the work in hand
and no row: LanceDB commits each step whole. Readers go on with the version that they have.
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
from firstsight.storage.indexes import vector_index
from firstsight.storage.store import Store
from firstsight.storage.tables import KEYS

COMMITS = 100
"""Commits to a table after which its small files are merged and its old versions removed."""

CHECK_COMMITS = 20
"""Commits to `items` between two looks at what is due, during a run."""

KEEP_VERSIONS_FOR = timedelta(hours=6)
"""Age up to which old versions stay, for readers that still use them."""

TAIL_ROWS = 10_000
"""Rows that the vector index may not know: each 10,000 cost a search 4 to 8 ms."""

TAIL_SHARE = 0.01
"""During a run, the same as a share of the rows, where that is more."""

GROWTH = 1.5
"""Growth since the vector index was built, at which it is built again."""

SEGMENTS = 16
"""Parts of a vector index, one more with each extension, at which it is built again as one."""

IDS_MIN_ROWS = 50_000
"""Rows below which ids are found by reading the column: an index is no faster."""

_STRAY_AGE_S = 3600.0
_METADATA = "firstsight:optimized"

UpkeepStep = Literal["compact", "ids", "build", "measure"]
"""Merge files, extend indexes and remove old versions; index the ids; build the vector index; measure its recall."""


@dataclass(frozen=True)
class TableState:
    """A table's files and indexes."""

    table: str
    rows: int
    fragments: int
    commits: int  # since it was last compacted
    id_index: bool
    unindexed: int  # rows that the vector index does not know; 0 where there is none
    segments: int  # of the vector index
    tuning: vector_index.Tuning | None  # of the vector index; None where search is exact


@dataclass(frozen=True)
class TableUpkeep:
    """What was done to one table, with its state before and after."""

    steps: tuple[UpkeepStep, ...]
    seconds: float
    build_seconds: float  # of the vector index alone
    before: TableState
    after: TableState
    versions: tuple[int, int]  # before and after
    disk_bytes: tuple[int, int] | None  # before and after, old versions included; None at an object-store address


@dataclass(frozen=True)
class UpkeepReport:
    """What an upkeep did; `tables` has those on which there was something to do."""

    run_id: str
    seconds: float
    tables: tuple[TableUpkeep, ...]
    stray_files: int = 0  # that killed writes had left, removed


def table_state(table: Table) -> TableState:
    """Read a table's state from its metadata: no time that grows with its rows."""
    stats = cast("dict[str, Any]", table.stats())  # typed as a class, and a dictionary
    indexes = {index.name: index for index in table.list_indices()}
    vectors = indexes.get(vector_index.NAME)
    schema = table.schema
    optimized = (schema.field(KEYS[table.name]).metadata or {}).get(_METADATA.encode(), b"0")
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
    )


def steps_due(state: TableState, *, during_run: bool = False) -> tuple[UpkeepStep, ...]:
    """What a table needs, in the order in which it is done."""
    steps: list[UpkeepStep] = []
    tail = max(TAIL_ROWS, TAIL_SHARE * state.rows) if during_run else TAIL_ROWS
    extend = state.unindexed > tail
    if state.commits >= COMMITS or extend:
        steps.append("compact")
    if state.table in _SEARCHED:
        if not state.id_index and state.rows >= IDS_MIN_ROWS:
            steps.append("ids")
        if state.rows >= vector_index.MIN_ROWS and _build_due(state):
            steps.append("build")
        if "build" in steps or (extend and not during_run):
            steps.append("measure")
    return tuple(steps)


_SEARCHED = ("items", "views")


def _build_due(state: TableState) -> bool:
    tuning = state.tuning
    if tuning is None or tuning.recall is None:  # there is none, or a kill came between building and measuring it
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
    """Do what is due; the caller holds the writer lock.

    Args:
        by_hand: compact and measure even where it is not due.
        rebuild: build the vector indexes anew, where there are rows enough for one.
        during_run: leave alone what may wait until the run's end.
        on_step: told the table and the step that begins.

    Returns:
        What was done, which is also in `runs`; None where nothing was due.

    Raises:
        StoreError: the disk is full, or the like; nothing is lost.
    """
    started, began = time.monotonic(), datetime.now(UTC)
    done = []
    for table in store.tables:
        state = table_state(table)
        steps = steps_due(state, during_run=during_run)
        if by_hand:
            steps = _manual_steps(state, steps, rebuild)
        if steps:
            done.append(_maintain_table(store, table, state, steps, on_step))
    if not done:
        return None
    strays = sum(_remove_strays(store, upkeep.after.table) for upkeep in done)
    run_id = f"{began:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
    report = UpkeepReport(run_id, time.monotonic() - started, tuple(done), strays)
    _record(store, report, began, by_hand=by_hand)
    return report


def _manual_steps(state: TableState, due: tuple[UpkeepStep, ...], rebuild: bool) -> tuple[UpkeepStep, ...]:
    steps: set[UpkeepStep] = {*due, "compact"}
    if rebuild and state.table in _SEARCHED and state.rows >= vector_index.MIN_ROWS:
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
            store.maintain(table, _index_ids)
        elif step == "build":
            tuning = store.maintain(table, vector_index.build_index)
            build_seconds = time.monotonic() - step_started
        elif tuning is not None:
            tuning = vector_index.tune(table, tuning)
            store.maintain(table, partial(vector_index.store_tuning, tuning=tuning))
    if "compact" in steps:
        store.maintain(table, _note_optimized)
    after = table_state(table)
    sizes = None if size is None else (size, _disk_bytes(store, table) or 0)
    seconds = time.monotonic() - started
    return TableUpkeep(steps, seconds, build_seconds, before, after, (versions, len(table.list_versions())), sizes)


def _index_ids(table: Table) -> None:
    table.create_index("item_id", config=BTree())


def _compact(table: Table) -> None:
    table.optimize(cleanup_older_than=_version_age_to_keep(table))


def _version_age_to_keep(table: Table) -> timedelta:
    """Age of the versions that stay. A tag keeps all since its own: LanceDB refuses to pass over a tagged one."""
    tagged = {tag["version"] for tag in table.tags.list().values()}
    if not tagged:
        return KEEP_VERSIONS_FOR
    made: list[datetime] = [v["timestamp"] for v in table.list_versions() if v["version"] in tagged]
    oldest = min(made, default=datetime.now())  # without a time zone, in this machine's
    return max(KEEP_VERSIONS_FOR, datetime.now().astimezone() - oldest.astimezone() + timedelta(minutes=1))


def _note_optimized(table: Table) -> None:
    """Note the version at which this was done, for `TableState.commits`; the note is a version, too."""
    metadata = {_METADATA: str(table.version + 1)}
    table.update_field_metadata({"path": KEYS[table.name], "metadata": metadata})


def _remove_strays(store: Store, name: str) -> int:
    """Remove temporary files that killed writes left, which LanceDB's own cleanup passes over.

    With the writer lock held nobody else writes; the hour is for programs that write past firstsight.
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
    except OSError:  # gone meanwhile
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
    """Upkeep beside an index run; what goes wrong with it costs the run nothing and is kept in `runs`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checked = store.items.version

    def after_write(self) -> None:
        """To be called after each write, where no other write is under way."""
        if self._store.items.version - self._checked >= CHECK_COMMITS:
            self._run_upkeep(during_run=True)
            self._checked = self._store.items.version

    def at_end(self) -> None:
        """To be called when the run is recorded as finished."""
        self._run_upkeep(during_run=False)

    def _run_upkeep(self, *, during_run: bool) -> None:
        try:
            run_upkeep(self._store, during_run=during_run)
        except (StoreError, ValueError) as error:  # ValueError: LanceDB's, such as for too few vectors to build from
            report = UpkeepReport(f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}", 0.0, ())
            with contextlib.suppress(StoreError):
                _record(self._store, report, datetime.now(UTC), by_hand=False, error=str(error))
