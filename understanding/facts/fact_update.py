"""Compute facts of stored items that lack them: pictures are decoded again, nothing is encoded.

The run works in steps and holds the writer lock only while it writes one, so searches and other writers go on. Each
step writes the rows of items first and the facts of their views last: a view without facts is what a later run looks
for, so a kill loses one step at most.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from firstsight.errors import MediaError
from firstsight.indexer.facts.stored_items import stored_fact_items
from firstsight.indexer.facts.view_facts import FACTS_STAGE, facts_failure, stored_facts
from firstsight.indexer.reindex.stored_inputs import StoredPictures, read_items, read_permissions
from firstsight.media.picture_facts import FoundFacts, PictureFact
from firstsight.media.policy import MediaPolicy
from firstsight.records import Record
from firstsight.storage.facts.fact_columns import add_fact_columns
from firstsight.storage.facts.view_fact_table import StoredFact, read_view_facts, write_view_facts
from firstsight.storage.indexes.text_index import index_texts
from firstsight.storage.indexes.upkeep import run_upkeep
from firstsight.storage.sets.standby_rows import ItemGap
from firstsight.storage.store import Store
from firstsight.storage.tables import FailureRow
from firstsight.understanding.facts.fact_settings import (
    read_complete_facts,
    read_fact_settings,
    write_fact_settings,
)
from firstsight.understanding.facts.fact_status import has_state
from firstsight.understanding.facts.item_facts import KindsOfFacts

ITEMS_PER_STEP: Final = 128
MAX_EXAMPLES: Final = 5
_MIN_SIDE: Final = 32  # of the pictures that come back from the decoding children, which nothing looks at

ViewFacts = dict[str, dict[str, StoredFact]]


@dataclass(frozen=True)
class FactUpdateCounts(Record):
    """Counts of a running or finished update of facts."""

    total: int = 0  # items to check
    items: int = 0  # of them checked
    updated: int = 0  # items written
    pictures: int = 0  # pictures and frames with new facts
    failed: int = 0  # pictures and frames that could not be opened, or whose function failed


@dataclass(frozen=True)
class FactUpdateReport(Record):
    """Result of an update of facts."""

    db: str
    outcome: str  # "finished", or "stopped" by `should_stop`
    seconds: float
    counts: FactUpdateCounts
    reasons: dict[str, int] = field(default_factory=dict)  # pictures that could not be opened, by reason
    examples: tuple[str, ...] = ()  # first messages about failures


class FactUpdate:
    """A run that computes missing and outdated facts; the caller holds no lock.

    Args:
        store: the database.
        facts: the kinds that are on.
        policy: limits of fetches and decoders.
        decode_threads: pictures and videos that are decoded at once.
        wait_s: maximum wait for another writer at each write, in seconds.
        on_progress: called with the counts after each step, in the calling thread.
        should_stop: called between steps; once it returns True, the run ends.
    """

    def __init__(
        self,
        store: Store,
        facts: KindsOfFacts,
        policy: MediaPolicy,
        *,
        decode_threads: int,
        wait_s: float = 600.0,
        on_progress: Callable[[FactUpdateCounts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._facts = facts
        self._policy = policy
        self._threads = decode_threads
        self._wait_s = wait_s
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._counts = FactUpdateCounts()
        self._reasons: Counter[str] = Counter()
        self._examples: list[str] = []
        self._complete: dict[str, str] = {}

    def run(self) -> FactUpdateReport:
        """Compute the facts of all items that lack them.

        Raises:
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        began = time.monotonic()
        with self._store.writing(self._wait_s):
            add_fact_columns(self._store, self._facts.fields)
        self._complete = read_complete_facts(self._store)
        self._counts = replace(self._counts, total=self._store.items.count_rows())
        self._on_progress(self._counts)
        outcome = "finished"
        with StoredPictures(self._store, self._policy, _MIN_SIDE, self._threads, self._facts.picture_facts) as pictures:
            for ids in self._steps():
                if self._should_stop():
                    outcome = "stopped"
                    break
                self._update(ids, pictures)
        with self._store.writing(self._wait_s):
            if outcome == "finished":
                write_fact_settings(self._store, read_fact_settings(self._store), self._facts.versions)
            index_texts(self._store)
            if outcome == "finished":
                run_upkeep(self._store)
        return FactUpdateReport(
            *(self._store.uri, outcome, time.monotonic() - began, self._counts),
            reasons=dict(self._reasons),
            examples=tuple(self._examples),
        )

    def _steps(self) -> Iterator[list[str]]:
        for ids in self._store.item_ids():
            for start in range(0, len(ids), ITEMS_PER_STEP):
                yield ids[start : start + ITEMS_PER_STEP]

    @property
    def _reads_texts(self) -> bool:
        """Whether a kind that reads texts was not computed for all items yet, or with other settings."""
        versions = self._facts.versions
        return any(
            kind.picture_fact is None and has_state(kind) and self._complete.get(kind.name) != versions[kind.name]
            for kind in self._facts.kinds
        )

    def _update(self, ids: Sequence[str], pictures: StoredPictures) -> None:
        gaps = self._gaps(ids)
        changed: ViewFacts = {}
        failures: list[FailureRow] = []
        if gaps:
            changed, failures = self._find(gaps, pictures)
        counts = self._counts
        if gaps or self._reads_texts:
            written = self._write(ids if self._reads_texts else [gap.item_id for gap in gaps], changed, failures)
            counts = replace(self._counts, updated=self._counts.updated + written)
        self._counts = replace(counts, items=counts.items + len(ids))
        self._on_progress(self._counts)

    def _gaps(self, ids: Sequence[str]) -> list[ItemGap]:
        """Views that lack a fact, or have an outdated one."""
        facts = self._facts.picture_facts
        if not facts:
            return []
        stored = read_view_facts(self._store, ids)
        lacking: dict[str, list[str]] = {}
        for row in self._store.view_rows(ids).select(["view_id", "item_id", "part"]).to_pylist():
            known = stored.get(row["view_id"], {})
            if any(row["part"] in fact.parts and not _is_current(known, fact) for fact in facts):
                lacking.setdefault(row["item_id"], []).append(row["view_id"])
        return [ItemGap(item_id, tuple(views)) for item_id, views in lacking.items()]

    def _find(self, gaps: Sequence[ItemGap], pictures: StoredPictures) -> tuple[ViewFacts, list[FailureRow]]:
        """Open the pictures of views; returns the new facts by view id, and what failed."""
        functions = self._facts.picture_facts
        known = read_view_facts(self._store, [gap.item_id for gap in gaps])
        changed: ViewFacts = {}
        of_media: dict[tuple[str, str], list[FoundFacts | None]] = {}
        items = read_items(self._store, gaps)
        for views, picture, found in pictures.load_with_facts(items, read_permissions(self._store)):
            if isinstance(picture, MediaError):
                self._note(len(views), views[0]["item_id"], picture)
                self._reasons[picture.reason] += len(views)
                continue
            new = stored_facts(found, functions)
            self._counts = replace(self._counts, pictures=self._counts.pictures + len(views))
            for view in views:
                changed[view["view_id"]] = known.get(view["view_id"], {}) | new
                of_media.setdefault((view["item_id"], view["uri"]), []).append(found)
        failures = []
        for (item_id, uri), each in of_media.items():
            if failure := facts_failure(each, functions):
                self._note(1, item_id, failure)
                failures.append(
                    FailureRow(item_id=item_id, uri=uri, stage=FACTS_STAGE, reason=failure.reason, message=str(failure))
                )
        return changed, failures

    def _note(self, count: int, item_id: str, error: MediaError) -> None:
        self._counts = replace(self._counts, failed=self._counts.failed + count)
        if len(self._examples) < MAX_EXAMPLES:
            self._examples.append(f"{item_id}: {error}")

    def _write(self, ids: Sequence[str], changed: ViewFacts, failures: Sequence[FailureRow]) -> int:
        """Write the facts of views that are still there, and columns that differ; returns the number of items."""
        store = self._store
        with store.writing(self._wait_s):
            rows = list(store.item_rows(ids).values())
            views = read_view_facts(store, ids)
            current = store.view_rows(ids).select(["view_id", "item_id"]).to_pylist()
            there = {row["view_id"]: row["item_id"] for row in current}
            fresh = {view_id: facts for view_id, facts in changed.items() if view_id in there}
            items = stored_fact_items(store, rows, self._facts.picture_facts, views | fresh)
            found = _as_stored(self._facts.columns(items), self._facts.fields)
            differing = [
                row | columns
                for row, columns in zip(rows, found, strict=True)
                if any(_known(row.get(name)) != _known(value) for name, value in columns.items())
            ]
            store.write_items(differing)
            by_item: dict[str, ViewFacts] = {}
            for view_id, facts in fresh.items():
                by_item.setdefault(there[view_id], {})[view_id] = facts
            write_view_facts(store, by_item)
            self._write_failures(rows, failures, sorted({view_id.rpartition("#")[0] for view_id in fresh}))
            return len({row["item_id"] for row in differing} | by_item.keys())

    def _write_failures(
        self, rows: Sequence[dict[str, Any]], failures: Sequence[FailureRow], tried: Sequence[str]
    ) -> None:
        """Write failures of functions under the runs of their items, so that --retry finds their catalogues."""
        runs = {row["item_id"]: row["run_id"] for row in rows}
        earlier = [
            row["failure_id"]
            for part in self._store.rows_by_id(self._store.failures, tried, condition=f"stage = '{FACTS_STAGE}'")
            for row in part.to_pylist()
        ]
        known = sorted((row for row in failures if row["item_id"] in runs), key=lambda row: runs[row["item_id"]])
        for run_id, group in itertools.groupby(known, key=lambda row: runs[row["item_id"]]):
            of_run = list(group)
            self._store.write_failures(of_run, run_id, tried=[row["item_id"] for row in of_run])
        again = {(row["item_id"], row["uri"]) for row in known}
        if earlier:
            stale = [
                row["failure_id"]
                for part in self._store.rows_by_id(self._store.failures, earlier, key="failure_id")
                for row in part.to_pylist()
                if (row["item_id"], row["uri"]) not in again
            ]
            self._store.delete_failures(stale)


def _is_current(stored: dict[str, StoredFact], fact: PictureFact) -> bool:
    return fact.name in stored and stored[fact.name]["version"] == fact.version


def _as_stored(found: Sequence[dict[str, Any]], fields: Sequence[pa.Field[Any]]) -> list[dict[str, Any]]:
    """Columns of items with the precision that the table has, so that equal values are not written again."""
    rounded: list[dict[str, Any]] = [{} for _ in found]
    for column in fields:
        places = [n for n, columns in enumerate(found) if column.name in columns]
        values = pa.array([found[n][column.name] for n in places], column.type).to_pylist()
        for n, value in zip(places, values, strict=True):
            rounded[n][column.name] = value
    return rounded


def _known(value: Any) -> Any:
    """A value to compare: a table may return null as a struct of nulls."""
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if part is not None} or None
    return value
