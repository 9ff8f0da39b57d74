"""Upgrade of a database from an earlier layout, step by step.

Each write upgrades the database first; `firstsight upgrade` does only that. Before the upgrade, readers use the
database as it is, and they never wait. Each step can be repeated. The number of a layout is stored after all of its
steps: after a kill at any moment, the next upgrade repeats the steps of that layout and ends with the same tables.

A step is a module with two functions. It is imported only when it is due, so that packages above `storage` can have
steps:

    plan(store: Store) -> Sequence[str | UpgradeChange]    list the changes for this database; empty if there are none
    apply(store: Store) -> None                     make the changes; the caller holds the writer lock

`plan` reads a database of any layout below that of the step, and writes nothing. `apply` must accept a database that a
killed `apply` left half changed, and one that is changed already. A step that makes stored vectors wrong calls
`Store.encode_again`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast

from firstsight.records import Record
from firstsight.storage import tables
from firstsight.storage.layout import store_layout
from firstsight.storage.table_store import TableStore

LAYOUT_SECONDS = 0.1
"""Estimated time of the commit that stores a layout."""


@dataclass(frozen=True)
class UpgradeStep:
    """One step of the upgrade to a layout."""

    layout: int  # of the database after all steps with this number
    module: str  # dotted name; has `plan` and `apply`


STEPS = (
    UpgradeStep(2, "firstsight.safety.audit.upgrade_human_decisions"),
    UpgradeStep(3, "firstsight.storage.upgrade_view_columns"),
)
"""All steps, in order of their layouts. `tests/databases/README.md` lists the other tasks for a new layout."""


@dataclass(frozen=True)
class UpgradeChange(Record):
    """One change that a step makes to a database."""

    does: str  # one sentence in the imperative
    rows: int = 0  # rows to write
    seconds: float = 0.0  # estimated time
    encode_again: int = 0  # items that the next index run must encode again


@dataclass(frozen=True)
class UpgradeReport(Record):
    """Result of an upgrade, or the plan of a dry run."""

    db: str
    before: int  # layout before
    after: int  # layout after; equal to `before` if there is nothing to do
    changes: tuple[UpgradeChange, ...]
    estimated_s: float
    seconds: float  # measured time; 0 for a dry run
    encode_again: int  # items that the next index run must encode again
    dry_run: bool

    @property
    def due(self) -> bool:
        """Whether the database has, or had before this upgrade, an earlier layout."""
        return self.after > self.before

    def describe(self) -> str:
        """One line with both layouts and the estimated time."""
        takes = "less than a second" if self.estimated_s < 1 else f"about {self.estimated_s:,.0f} s"
        return f"upgrade from layout {self.before} to layout {self.after}, {takes}"


class _StepModule(Protocol):
    # a `Store`, which this module cannot import: `Store.writing` calls the upgrade
    def plan(self, store: Any) -> Sequence[str | UpgradeChange]: ...

    def apply(self, store: Any) -> None: ...


def plan_upgrade(store: TableStore, *, steps: Sequence[UpgradeStep] = STEPS) -> UpgradeReport:
    """List the changes that an upgrade would make; writes nothing and takes no lock.

    Args:
        store: a `Store`.
        steps: in order of their layouts.
    """
    return _report(store, [(step, _changes(store, step)) for step in _due(store, steps)])


def apply_upgrade(
    store: TableStore, *, steps: Sequence[UpgradeStep] = STEPS, on_progress: Callable[[str], None] = lambda line: None
) -> UpgradeReport:
    """Upgrade a database to the current layout; the caller holds the writer lock.

    Args:
        store: a `Store`.
        steps: in order of their layouts.
        on_progress: called with one line each: the estimated time, each change when its step begins, and the number
            of items to encode again.

    Raises:
        StoreError: the database cannot be written; the next write continues the upgrade.
    """
    started = time.monotonic()
    planned = [(step, _changes(store, step)) for step in _due(store, steps)]
    report = replace(_report(store, planned), dry_run=False)
    if not planned:
        return report
    on_progress(report.describe())
    for layout in dict.fromkeys(step.layout for step, _ in planned):
        for step, changes in planned:
            if step.layout == layout:
                for change in changes:
                    on_progress(change.does)
                _import_step(step).apply(store)
        store.maintain(store.first_items, partial(store_layout, layout=layout))
    store.refresh()
    again = store.items.count_rows("digest = ''")  # includes items that a killed upgrade marked
    if again:
        on_progress(f"{again:,} items must be encoded again: the next firstsight index does it")
    return replace(report, seconds=time.monotonic() - started, encode_again=again)


def _due(store: TableStore, steps: Sequence[UpgradeStep]) -> list[UpgradeStep]:
    return [step for step in steps if store.layout < step.layout <= tables.CURRENT_LAYOUT]


def _report(store: TableStore, planned: Sequence[tuple[UpgradeStep, Sequence[UpgradeChange]]]) -> UpgradeReport:
    changes = tuple(change for _, of_step in planned for change in of_step)
    layouts = {step.layout for step, _ in planned}
    return UpgradeReport(
        db=store.uri,
        before=store.layout,
        after=max(layouts, default=store.layout),
        changes=changes,
        estimated_s=sum(change.seconds for change in changes) + len(layouts) * LAYOUT_SECONDS,
        seconds=0.0,
        encode_again=sum(change.encode_again for change in changes),
        dry_run=True,
    )


def _changes(store: TableStore, step: UpgradeStep) -> list[UpgradeChange]:
    planned = _import_step(step).plan(store)
    return [UpgradeChange(change) if isinstance(change, str) else change for change in planned]


def _import_step(step: UpgradeStep) -> _StepModule:
    return cast("_StepModule", importlib.import_module(step.module))
