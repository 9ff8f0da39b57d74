"""A watch of a running stream: its latest frames are views of an item.

    sampler (a thread and a child) -> encode: small batches, in the calling thread -> window -> write, every update_s

A watch holds the writer lock only during its writes, so index runs can work at the same time. While another process
holds the lock, the watch delays its writes and keeps only its window. Each write replaces the live views with the
window. This also repairs leftovers of a killed watch or of an index run in between. `recovery.recover` repairs a kill
in the middle of a write.
"""

from __future__ import annotations

import io
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import numpy as np
from PIL.Image import Image, Resampling

from firstsight.encoders.base import Encoder
from firstsight.encoders.isolation import try_images, try_texts
from firstsight.errors import DatabaseBusyError, MediaError, QueryError, StoreError
from firstsight.indexer.assembly import View, fuse
from firstsight.indexer.facts.item_facts import ItemFacts, NoFacts
from firstsight.indexer.facts.stored_items import stored_fact_items
from firstsight.indexer.facts.view_facts import FACTS_STAGE, facts_failure, stored_facts
from firstsight.indexer.index_settings import DEFAULT_WEIGHTS
from firstsight.indexer.reindex.standby_writer import StandbyWriter
from firstsight.indexer.watch_settings import WatchCounts, WatchReport, WatchSettings
from firstsight.media.fingerprints import fingerprint
from firstsight.media.live.live_sampler import MAX_WAITING_FRAMES, LiveFrame, LiveSampler
from firstsight.media.picture_facts import FoundFacts
from firstsight.media.policy import MediaPolicy
from firstsight.storage.facts.fact_columns import add_fact_columns
from firstsight.storage.facts.view_fact_table import delete_view_facts, write_view_facts
from firstsight.storage.indexes.text_index import index_texts
from firstsight.storage.indexes.upkeep import RunUpkeep
from firstsight.storage.live_pictures import LIVE_PART, write_live_pictures
from firstsight.storage.locks import watch_lock
from firstsight.storage.recovery import begin_write, fail_run, recover
from firstsight.storage.store import Store
from firstsight.storage.tables import FailureRow

_BATCH: Final = 8
_TICK_S: Final = 0.2  # between two checks of should_stop
_PICTURE_SIDE: Final = 384  # pixels of the longer side of a stored picture: a card of the gallery


class WatchRun:
    """A watch of one stream for one item; the caller holds no lock."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        source: str,
        item_id: str,
        policy: MediaPolicy,
        settings: WatchSettings,
        *,
        title: str | None = None,
        standby: StandbyWriter | None = None,
        facts: ItemFacts | None = None,
        on_update: Callable[[WatchCounts], None] = lambda counts: None,
        on_event: Callable[[str], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare a watch; arguments as for `Database.watch`, `standby` and `facts` as for an index run."""
        self.run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
        self.counts = WatchCounts()
        self._store = store
        self._encoder = encoder
        self._standby = standby or StandbyWriter()
        self._facts = facts or NoFacts()
        self._source = source
        self._item_id = item_id
        self._policy = policy
        self._settings = settings
        self._title = title
        self._on_update = on_update
        self._on_event = on_event
        self._should_stop = should_stop
        self._prefix = f"{item_id}{LIVE_PART}"
        self._uri = ""  # of its frames; only a file's address can be fetched again
        self._row: dict[str, Any] = {}  # of `runs`
        self._window: deque[View] = deque()
        self._pictures: dict[str, bytes] = {}  # JPEGs of the window by view id
        self._written: set[str] = set()  # view ids that this watch wrote; views of earlier watches have equal ids
        self._newest: LiveFrame | None = None
        # row and title view of a new item; no title view if the encoder fails on the title
        self._new_item: tuple[dict[str, Any], list[View]] | None = None
        self._failures: dict[str, MediaError] = {}  # of the title ("") and the frames; not written yet
        self._found: list[FoundFacts | None] = []  # of the frames since the last write
        self._weights: Mapping[Any, float] = DEFAULT_WEIGHTS
        self._upkeep = RunUpkeep(store)

    def run(self) -> WatchReport:
        """Watch until the stream ends, `for_s` is over, or `should_stop` returns True.

        Raises:
            QueryError: the item is not in the index and no title was given, or the item has another title.
            MediaError: the stream gave no frame.
            DatabaseBusyError: another process watches a stream for this item, or held the writer lock for longer than
                `last_write_s` at the end.
            EncoderError: the encoder fails on every input.
            EncoderMismatchError: a switch during the watch has put another encoder in force; watch again.
            StoreError: the database cannot be written.
        """
        folder = self._store.folder
        with nullcontext() if folder is None else watch_lock(folder, self._item_id):
            self._find_item()
            began, started = datetime.now(UTC), time.monotonic()
            try:
                with self._sampler() as sampler:
                    self._uri = f"live+{sampler.name}" if sampler.live else os.path.abspath(self._source)
                    self._row = {
                        "run_id": self.run_id,
                        "started_at": began,
                        "source": sampler.name if sampler.live else self._uri,
                        "encoder": self._encoder.spec.name,
                        "fingerprint": self._encoder.spec.fingerprint,
                        "settings": {"kind": "watch", "item_id": self._item_id, **asdict(self._settings)},
                    }
                    outcome = self._follow(sampler, started)
                    message = str(sampler.error or "")
                with self._store.writing(self._settings.last_write_s):
                    self._record(outcome)
                    index_texts(self._store)  # each write has replaced the item's row
                    if outcome != "stopped":  # skip upkeep after a stop: the user wants to exit now
                        self._upkeep.at_end()
            except BaseException:
                with suppress(StoreError):
                    fail_run(self._store, self.run_id, asdict(self.counts))
                raise
        return WatchReport(self.run_id, self._item_id, outcome, time.monotonic() - started, self.counts, message)

    def _sampler(self) -> LiveSampler:
        return LiveSampler(
            self._source,
            every_s=self._settings.every_s,
            min_side=max(self._encoder.spec.min_side, self._standby.min_side),
            policy=self._policy,
            stall_s=self._settings.stall_s,
            reconnect_for_s=self._settings.reconnect_for_s,
            on_event=self._on_event,
            facts=self._facts.picture_facts,
        )

    def _find_item(self) -> None:
        """Read the item's row, or prepare a row for a new item."""
        row = self._store.item_rows([self._item_id]).get(self._item_id)
        if row is None and self._title is None:
            raise QueryError(
                f"there is no item {self._item_id!r} in {self._store.uri}; give it a --title, "
                "or index its catalogue first"
            )
        if row is not None and self._title not in (None, row["title"]):
            raise QueryError(f"item {self._item_id!r} has a title, {row['title']!r}; leave --title out")
        if row is None or (self._title is not None and not row["row_digest"]):  # an item that an earlier watch created
            self._make_item()
        if row is None:
            return
        created_by = next((run for run in self._store.run_rows() if run["run_id"] == row["run_id"]), None)
        recorded = created_by["settings"].get("settings", {}) if created_by else {}
        self._weights = recorded.get("weights", DEFAULT_WEIGHTS)

    def _make_item(self) -> None:
        assert self._title is not None
        (outcome,), (other,) = try_texts(self._encoder, [self._title]), self._standby.encode_texts([self._title])
        row = {
            "item_id": self._item_id,
            "kind": "live",
            "title": self._title,
            "text": None,
            "digest": "",  # empty, so that an index run with this item encodes it
            "row_digest": "",
            "catalog_dir": "",
            "run_id": self.run_id,
        }
        titles: list[View] = []
        if isinstance(outcome, MediaError):
            self._failures[""] = outcome
        else:
            titles.append(View(f"{self._item_id}#title", "title", outcome, standby=other))
        self._new_item = (row, titles)

    # ---- follow

    def _follow(self, sampler: LiveSampler, started: float) -> str:
        """Encode and write the frames of the stream until the end; returns the outcome."""
        for_s = float("inf") if self._settings.for_s is None else self._settings.for_s
        next_write, dirty = started, False
        while True:
            stop = self._should_stop()
            last = stop or time.monotonic() - started >= for_s
            if last:
                sampler.close()
            frames = sampler.take(MAX_WAITING_FRAMES, 0.0) if last else sampler.take(_BATCH, _TICK_S)
            if frames:
                self._encode(frames)
                dirty = True
            self.counts = replace(self.counts, reconnects=sampler.reconnects, dropped=sampler.dropped)
            last = last or sampler.ended
            if dirty and (last or time.monotonic() >= next_write):
                dirty = not self._write(last)
                next_write = time.monotonic() + self._settings.update_s
            if last:
                return "stopped" if stop else "failed" if sampler.error else "finished"

    def _encode(self, frames: list[LiveFrame]) -> None:
        pictures = [frame.picture for frame in frames]
        outcomes, others = try_images(self._encoder, pictures), self._standby.encode_images(pictures)
        self._found += [frame.facts for frame in frames]
        failed = 0
        for frame, outcome, other in zip(frames, outcomes, others, strict=True):
            time_s = round(frame.time_s, 3)
            if isinstance(outcome, MediaError):
                failed += 1
                self._failures[self._uri] = MediaError(outcome.reason, f"the frame at {time_s} s: {outcome}")
                continue
            view_id, marks = f"{self._prefix}{frame.number}", fingerprint(frame.picture)
            facts = stored_facts(frame.facts, self._facts.picture_facts)
            view = View(view_id, "frame", outcome, self._uri, time_s, fingerprint=marks, standby=other, facts=facts)
            self._window.append(view)
            self._pictures[view_id] = _small_jpeg(frame.picture)
        self._newest = frames[-1]
        oldest_s = self._newest.time_s - self._settings.window_s
        while self._window and (self._window[0].time_s or 0.0) <= oldest_s:
            self._pictures.pop(self._window.popleft().view_id, None)
        self.counts = replace(
            self.counts, frames=self.counts.frames + len(frames) - failed, failed=self.counts.failed + failed
        )

    # ---- write

    def _write(self, last: bool) -> bool:
        """Write the window; returns False if another process is writing. Only the last write waits for it."""
        try:
            with self._store.writing(self._settings.last_write_s if last else 0.0):
                self._commit()
        except DatabaseBusyError:
            if last:
                raise
            self.counts = replace(self.counts, busy=self.counts.busy + 1)
            return False
        self._on_update(self.counts)
        return True

    def _commit(self) -> None:
        """Write new views and their facts, delete old ones, then write the item's row: the order of an index run."""
        self._store.require_encoder(self._encoder.spec)  # a switch to another one ends the watch
        recover(self._store, (self.run_id, self._item_id))
        add_fact_columns(self._store, self._facts.fields)
        self._record("watching")
        row = self._store.item_rows([self._item_id]).get(self._item_id)
        stored = [] if row is None else self._store.view_rows([self._item_id]).to_pylist()
        live = {view["view_id"] for view in stored if view["view_id"].startswith(self._prefix)}
        others = [
            View(view["view_id"], view["part"], np.asarray(view["vector"], dtype=np.float32))
            for view in stored
            if view["view_id"] not in live
        ]
        added = [view for view in self._window if view.view_id not in live & self._written]
        is_new = row is None
        if row is None:
            row, titles = self._require_new_item()
            others, added = titles, [*titles, *added]
        failures = [
            FailureRow(item_id=self._item_id, uri=uri, stage="encode", reason=error.reason, message=str(error))
            for uri, error in self._failures.items()
        ]
        # the key of a failure is its address, so one of the encoder would be replaced
        if not self.counts.failed and (failure := facts_failure(self._found, self._facts.picture_facts)):
            reason, message = failure.reason, str(failure)
            failures.append(
                FailureRow(item_id=self._item_id, uri=self._uri, stage=FACTS_STAGE, reason=reason, message=message)
            )
        begin_write(self._store, self.run_id, [self._item_id], failures)
        self._store.write_failures(failures, self.run_id, tried=[self._item_id])
        self._store.write_views([view.row(self._item_id) for view in added], replaced=())
        # an earlier watch may have left facts of a view with the same id
        delete_view_facts(self._store, views=[view.view_id for view in added if not view.facts])
        write_view_facts(self._store, {self._item_id: {view.view_id: view.facts for view in added}})
        pictures = {view.view_id: self._pictures[view.view_id] for view in added if view.view_id in self._pictures}
        write_live_pictures(self._store, self._item_id, pictures)
        self._store.delete_views(sorted(live - {view.view_id for view in self._window}))
        row = row | {"vector": fuse([*others, *self._window], self._weights), "indexed_at": datetime.now(UTC)}
        (found,) = self._facts.columns(stored_fact_items(self._store, [row], self._facts.picture_facts))
        row |= found
        self._store.write_items([row])
        self._standby.write_watched(self._store, row, added, self._window, self._weights)
        self._failures.clear()
        self._found.clear()
        if is_new:
            index_texts(self._store)
        self._written = {view.view_id for view in self._window}
        newest = self._newest
        assert newest is not None  # the first frame comes before the first write
        self.counts = replace(
            self.counts,
            window=len(self._window),
            updates=self.counts.updates + 1,
            time_s=round(newest.time_s, 3),
            behind_s=round(time.monotonic() - newest.received_s, 3),
        )
        self._record("watching")  # removes the note of this write
        self._upkeep.after_write()

    def _require_new_item(self) -> tuple[dict[str, Any], list[View]]:
        if self._new_item is None:
            raise QueryError(f"item {self._item_id!r} was removed from {self._store.uri} during the watch")
        return self._new_item

    def _record(self, outcome: str) -> None:
        """Write the row of `runs` of this watch."""
        ended = {} if outcome == "watching" else {"finished_at": datetime.now(UTC)}
        self._store.write_run({**self._row, **ended, "outcome": outcome, "counts": asdict(self.counts)})


def _small_jpeg(picture: Image) -> bytes:
    small = picture.copy()
    small.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
