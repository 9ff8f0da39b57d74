"""Upgrading a database of an earlier layout, step by step.

Every write upgrades first; `firstsight upgrade` does nothing else. Until then the database is read as it is. Every step
can be repeated, and the number of a layout is stored after all of its steps: after a kill at any moment, the next
upgrade begins again with the steps of that layout and ends with the same tables. Readers never wait.

A step is a module with two functions, imported only when it is needed, so that rooms above `indexer` can have steps:

    plan(store) -> Sequence[str | Change]    what there is to do in this database; empty for nothing
    apply(store) -> None                     do it; the caller holds the writer lock

`plan` reads a database of any layout below that of the step, and writes nothing. `apply` may meet what a killed `apply`
left, and what is done already. A step after which stored vectors are wrong calls `Store.encode_again`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from firstsight.storage import tables
from firstsight.storage.layout import store_layout

if TYPE_CHECKING:
    from firstsight.storage.store import Store

LAYOUT_SECONDS = 0.1
"""Estimate for the commit that stores a layout."""


@dataclass(frozen=True)
class UpgradeStep:
    """A part of the upgrade to a layout."""

    layout: int  # of the database after all steps with this number
    module: str  # with `plan` and `apply`


STEPS = (
    UpgradeStep(2, "firstsight.storage.upgrade_view_columns"),
    UpgradeStep(2, "firstsight.safety.audit.upgrade_human_decisions"),
)
"""All steps, in order of their layouts. `tests/databases/README.md` says what else a new layout needs."""


@dataclass(frozen=True)
class Change:
    """One change that a step makes to a database."""

    does: str  # a sentence in the imperative
    rows: int = 0  # written
    seconds: float = 0.0  # estimated
    encode_again: int = 0  # items that the next index run has to encode again


@dataclass(frozen=True)
class UpgradeReport:
    """What an upgrade did; of a dry run, what it will do."""

    db: str
    before: int  # layout
    after: int  # layout; equal to `before` if there is nothing to do
    changes: tuple[Change, ...]
    estimated_s: float
    seconds: float  # measured; 0 for a dry run
    encode_again: int  # items that the next index run has to encode again
    dry_run: bool

    @property
    def due(self) -> bool:
        """Whether the database has or had an earlier layout."""
        return self.after > self.before

    def describe(self) -> str:
        """The two layouts and the estimated time, as one line."""
        takes = "less than a second" if self.estimated_s < 1 else f"about {self.estimated_s:,.0f} s"
        return f"upgrade from layout {self.before} to layout {self.after}, {takes}"


class _StepModule(Protocol):
    def plan(self, store: Store) -> Sequence[str | Change]: ...

    def apply(self, store: Store) -> None: ...


def plan_upgrade(store: Store, *, steps: Sequence[UpgradeStep] = STEPS) -> UpgradeReport:
    """Say what the upgrade of a database will do; writes nothing and takes no lock.

    Args:
        steps: in order of their layouts.
    """
    return _report(store, [(step, _changes(store, step)) for step in _due(store, steps)])


def apply_upgrade(
    store: Store, *, steps: Sequence[UpgradeStep] = STEPS, on_progress: Callable[[str], None] = lambda line: None
) -> UpgradeReport:
    """Upgrade a database to this code's layout; the caller holds the writer lock.

    Args:
        steps: in order of their layouts.
        on_progress: called with one line each: the estimated time, every change when its step begins, and the number of
            items to encode again.

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
        store.maintain(store.items, partial(store_layout, layout=layout))
    store.refresh()
    again = store.items.count_rows("digest = ''")  # `plan` does not see what a killed upgrade marked
    if again:
        on_progress(f"{again:,} items have to be encoded again: the next firstsight index does it")
    return replace(report, seconds=time.monotonic() - started, encode_again=again)


def _due(store: Store, steps: Sequence[UpgradeStep]) -> list[UpgradeStep]:
    return [step for step in steps if store.layout < step.layout <= tables.CURRENT_LAYOUT]


def _report(store: Store, planned: Sequence[tuple[UpgradeStep, Sequence[Change]]]) -> UpgradeReport:
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


def _changes(store: Store, step: UpgradeStep) -> list[Change]:
    planned = _import_step(step).plan(store)
    return [Change(change) if isinstance(change, str) else change for change in planned]


def _import_step(step: UpgradeStep) -> _StepModule:
    return cast("_StepModule", importlib.import_module(step.module))
