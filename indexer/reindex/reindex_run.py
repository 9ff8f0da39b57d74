"""A reindex: the vectors of another encoder for all stored items, beside those in force.

The run reads stored items, not a catalogue. It works in steps: find items without the new vectors, open each of their
media once, encode, write. It holds the writer lock only while it writes a step, so other writers go on; items that they
change meanwhile are found by the next comparison. A killed run continues with the items that are left.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from firstsight.encoders.base import Encoder, Vector
from firstsight.encoders.isolation import Outcome, try_images, try_texts
from firstsight.errors import DatabaseBusyError, FirstsightError, MediaError
from firstsight.indexer.assembly import View, fuse
from firstsight.indexer.reindex.reindex_settings import ReindexCounts, ReindexReport, ReindexSettings
from firstsight.indexer.reindex.stored_inputs import (
    Row,
    RunPermissions,
    StoredItem,
    StoredPictures,
    read_items,
    read_permissions,
    text_of_view,
)
from firstsight.media.policy import MediaPolicy
from firstsight.storage.indexes.text_index import index_texts, stored_language
from firstsight.storage.indexes.upkeep import run_upkeep
from firstsight.storage.recovery import recover
from firstsight.storage.sets.set_changes import begin_set, change_state
from firstsight.storage.sets.standby_rows import ItemGap, count_gaps, find_gaps, sync_columns
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import PROJECTION_COLUMN

ITEMS_PER_STEP: Final = 128
"""Items that are encoded before a write: a kill loses the vectors of one step."""

MAX_ROUNDS: Final = 20
"""Times that the run looks for items that changed meanwhile; busy writers leave some for the next run."""

MAX_EXAMPLES: Final = 5

_LOCK_TICK_S: Final = 1.0
_REST_TICK_S: Final = 0.1


class _StoppedError(Exception):
    """`should_stop` returned True while the run waited."""


@dataclass
class _Step:
    """The vectors of one step."""

    items: Sequence[StoredItem]
    vectors: dict[str, Vector] = field(default_factory=dict)  # by view id
    failed: set[str] = field(default_factory=set)  # ids of items with a view that failed


class ReindexRun:
    """A run that gives all items of a database vectors of another encoder; the caller holds no lock.

    Args:
        store: the tables in force.
        encoder: makes the new vectors.
        policy: limits of fetches and decoders.
        settings: how fast it goes.
        on_progress: called with the counts after each step, in the calling thread.
        should_stop: called several times a second; once it returns True, the run writes the step it has begun.
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        policy: MediaPolicy,
        settings: ReindexSettings,
        *,
        on_progress: Callable[[ReindexCounts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._policy = policy
        self._settings = settings
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._counts = ReindexCounts()
        self._reasons: Counter[str] = Counter()
        self._examples: list[str] = []
        self._standby = store
        self._permissions: Mapping[str, RunPermissions] = {}
        self._started = time.monotonic()

    def run(self) -> ReindexReport:
        """Encode all items that lack the new vectors, then build the indexes of the new set.

        Raises:
            DatabaseBusyError: never; the run waits for other writers until `should_stop` returns True.
            EncoderError: the encoder fails on every input.
            StoreError: the database cannot be written, or has a second set of another encoder.
        """
        number, outcome = self._store.number, "stopped"
        try:
            with self._writing() as store:
                recover(store)
                number = begin_set(store, self._encoder.spec)
                self._standby = store.of_set(number)
                sync_columns(store, self._standby)
            self._encode_all()
            with self._writing() as store:
                change_state(store, number, "ready")
                store.note_all_changed()  # items without any vector get a row
            with self._writing():
                self._build_indexes()
            outcome = "finished"
        except _StoppedError:
            pass
        self._store.refresh()
        missing = 0 if self._standby is self._store else self._count_gaps()
        seconds = time.monotonic() - self._started
        return ReindexReport(
            *(self._store.uri, number, self._encoder.spec.name, outcome, seconds, self._counts, missing),
            reasons=dict(self._reasons),
            examples=tuple(self._examples),
        )

    def _count_gaps(self) -> int:
        self._standby.refresh()
        return count_gaps(self._store, self._standby)

    @contextmanager
    def _writing(self) -> Iterator[Store]:
        """Hold the writer lock for one step, and wait for other writers as long as they take."""
        while True:
            if self._should_stop():
                raise _StoppedError
            held = self._store.writing(_LOCK_TICK_S, brief=True)
            try:
                held.__enter__()
                break
            except DatabaseBusyError:
                continue
        try:
            yield self._store
        except BaseException as error:
            if not held.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            held.__exit__(None, None, None)

    # ---- steps

    def _encode_all(self) -> None:
        """Close the gaps, and those that other writers make meanwhile."""
        failed: set[str] = set()
        per_step = ITEMS_PER_STEP
        if self._settings.max_rate is not None:
            per_step = max(1, min(ITEMS_PER_STEP, int(self._settings.max_rate)))  # about a second each
        min_side, threads = self._encoder.spec.min_side, self._settings.decode_threads
        with StoredPictures(self._store, self._policy, min_side, threads) as pictures:
            for _ in range(MAX_ROUNDS):
                self._refresh()
                gaps = [gap for gap in find_gaps(self._store, self._standby) if gap.item_id not in failed]
                if not gaps:
                    return
                self._counts = replace(self._counts, total=self._counts.items + len(gaps))
                self._on_progress(self._counts)
                for start in range(0, len(gaps), per_step):
                    failed |= self._take_step(gaps[start : start + per_step], pictures)

    def _refresh(self) -> None:
        self._store.refresh()
        self._standby.refresh()
        self._permissions = read_permissions(self._store)

    def _take_step(self, gaps: Sequence[ItemGap], pictures: StoredPictures) -> set[str]:
        """Encode and write some items; returns the ids of those with a view that failed."""
        self._rest(0.0)
        began = time.monotonic()
        self._store.refresh()
        step = _Step(read_items(self._store, gaps))
        self._encode_texts(step)
        self._encode_pictures(step, pictures)
        with self._writing() as store:
            written, views = self._write(store, step)
        counts = self._counts
        self._counts = replace(
            counts,
            items=counts.items + len(gaps),
            encoded=counts.encoded + written,
            views=counts.views + views,
        )
        self._on_progress(self._counts)
        if self._settings.max_rate is not None:
            self._rest(len(gaps) / self._settings.max_rate - (time.monotonic() - began))
        return step.failed

    def _rest(self, seconds: float) -> None:
        """Wait, and end the run if it is to stop."""
        until = time.monotonic() + seconds
        while True:
            if self._should_stop():
                raise _StoppedError
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _REST_TICK_S))

    # ---- encode

    def _encode_texts(self, step: _Step) -> None:
        waiting = [
            (view, text)
            for item in step.items
            for view in item.views
            if (text := text_of_view(item.row, view)) is not None
        ]
        size = self._settings.text_batch_size
        for start in range(0, len(waiting), size):
            batch = waiting[start : start + size]
            outcomes = try_texts(self._encoder, [text for _, text in batch])
            for (view, _), outcome in zip(batch, outcomes, strict=True):
                self._note(step, [view], outcome)
            self._pause()

    def _encode_pictures(self, step: _Step, pictures: StoredPictures) -> None:
        loaded = iter(pictures.load(step.items, self._permissions))
        while batch := list(itertools.islice(loaded, self._settings.batch_size)):
            good = [(views, picture) for views, picture in batch if not isinstance(picture, MediaError)]
            for views, picture in batch:
                if isinstance(picture, MediaError):
                    self._note(step, views, picture)
            outcomes = try_images(self._encoder, [picture for _, picture in good])
            for (views, _), outcome in zip(good, outcomes, strict=True):
                self._note(step, views, outcome)
            self._pause()

    def _pause(self) -> None:
        if self._settings.pause_s:
            with_stop = time.monotonic() + self._settings.pause_s
            while time.monotonic() < with_stop and not self._should_stop():
                time.sleep(min(_REST_TICK_S, self._settings.pause_s))

    def _note(self, step: _Step, views: Sequence[Row], outcome: Outcome) -> None:
        if not isinstance(outcome, MediaError):
            step.vectors.update((view["view_id"], outcome) for view in views)
            return
        step.failed.update(view["item_id"] for view in views)
        self._counts = replace(self._counts, failed=self._counts.failed + len(views))
        self._reasons[outcome.reason] += len(views)
        if len(self._examples) < MAX_EXAMPLES:
            self._examples.append(f"{views[0]['item_id']}: {outcome}")

    # ---- write

    def _write(self, store: Store, step: _Step) -> tuple[int, int]:
        """Write the views and items of a step that have not changed meanwhile; returns complete items, and views."""
        standby = store.standby
        if standby is None or standby.number != self._standby.number:
            raise FirstsightError(
                f"vector set {self._standby.number} of {store.uri} was put in force or dropped during the reindex; "
                "firstsight encoder list shows the sets"
            )
        standby.refresh()
        sync_columns(store, standby)
        ids = [item.row["item_id"] for item in step.items]
        now = {item.row["item_id"]: item for item in read_items(store, _all_views(store, ids))}
        unchanged = [
            item
            for item in step.items
            if item.row["item_id"] in now and now[item.row["item_id"]].row["digest"] == item.row["digest"]
        ]
        rows: list[Row] = []
        for item in unchanged:
            current = {view["view_id"]: view for view in now[item.row["item_id"]].views}
            rows += [
                {**view, "vector": step.vectors[view["view_id"]]}
                for view in item.views
                if view["view_id"] in step.vectors and current.get(view["view_id"]) == view
            ]
        standby.write_views(rows, replaced=())
        written = [item.row["item_id"] for item in unchanged]
        views = _vectors_of(standby, written)
        gaps = {gap.item_id: set(gap.views) for gap in find_gaps(store, standby, written)}
        item_rows, deleted = [], []
        for item_id in written:
            row = {name: value for name, value in now[item_id].row.items() if name != PROJECTION_COLUMN}
            fresh = {view["view_id"] for view in rows if view["item_id"] == item_id}
            outdated = gaps.get(item_id, set()) - fresh
            shown = [view for view in views.get(item_id, ()) if view.view_id not in outdated]
            deleted += sorted(outdated & {view.view_id for view in views.get(item_id, ())})
            weights = self._permissions.get(row["run_id"], RunPermissions()).weights
            item_rows.append({**row, "vector": fuse(shown, weights)})
        for part in in_chunks(deleted):  # of an earlier state: with them, the row below would look complete
            standby.delete_rows(standby.views, is_in("view_id", part))
        standby.write_items(item_rows)
        return len(set(written) - step.failed), len(rows)

    def _build_indexes(self) -> None:
        """Build the indexes of the new set, as an index run does for its own."""
        standby = self._store.standby
        if standby is not None:
            standby.refresh()
            index_texts(standby, stored_language(self._store))
        run_upkeep(self._store)


def _all_views(store: Store, ids: Sequence[str]) -> list[ItemGap]:
    views: dict[str, list[str]] = {item_id: [] for item_id in ids}
    for rows in store.rows_by_id(store.views, ids, columns=["view_id", "item_id"]):
        for row in rows.to_pylist():
            views[row["item_id"]].append(row["view_id"])
    return [ItemGap(item_id, tuple(names)) for item_id, names in views.items()]


def _vectors_of(standby: Store, ids: Sequence[str]) -> dict[str, list[View]]:
    found: dict[str, list[View]] = {}
    for rows in standby.rows_by_id(standby.views, ids, columns=["view_id", "item_id", "part", "vector"]):
        for row in rows.to_pylist():
            vector: Any = np.asarray(row["vector"], np.float32)
            found.setdefault(row["item_id"], []).append(View(row["view_id"], row["part"], vector))
    return found
