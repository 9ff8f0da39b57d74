"""An index run: overlapping steps, constant memory, safe to kill at any moment.

    catalogue -> plan: unchanged items stop here -> load: threads fetch ahead, others decode ahead
              -> encode: full batches across items, in the calling thread -> write: one thread, large upserts

The row in `items` commits an item; the run writes it after the item's failures and views. Before each such write the
run notes the items in its own row. After a kill in the middle of a write, the next run reads the note and repairs those
items first (`recovery.recover`). No row is doubled, and committed items are not encoded again.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from firstsight.duplicates.item_pairs import DuplicatePair, find_duplicates
from firstsight.duplicates.product_pairs import pairs_between_products
from firstsight.encoders.base import Encoder
from firstsight.encoders.isolation import try_images, try_texts
from firstsight.errors import MediaError, StoreError
from firstsight.indexer.assembly import LoadedMedium, LoadedPicture, PendingItem, encode_digest, row_digest
from firstsight.indexer.catalog import Catalog, catalog_root
from firstsight.indexer.catalog_report import count_stored_variants, describe_catalog, note_variants
from firstsight.indexer.facts.item_facts import ItemFacts, NoFacts
from firstsight.indexer.facts.view_facts import FACTS_STAGE, facts_failure, stored_facts
from firstsight.indexer.formats.folder import FolderSource
from firstsight.indexer.index_report import Counts, IndexReport, RunningCounts
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.item_writer import ItemWriter
from firstsight.indexer.media_loading.changed_media import ChangedMedia
from firstsight.indexer.media_loading.media_loader import MediaJob, MediaLoader
from firstsight.indexer.media_loading.shared_media import EncodedMedium, MediaUse, SharedMedia
from firstsight.indexer.passage_queue import PassageQueue
from firstsight.indexer.reindex.standby_writer import StandbyWriter
from firstsight.indexer.row_reader import CatalogItem
from firstsight.indexer.stored_media_cleanup import UnusedStoredMedia
from firstsight.indexer.timed_text.item_texts import ItemTexts
from firstsight.media.fetch.addresses import change_stamp
from firstsight.media.policy import MediaPolicy
from firstsight.storage.facts.fact_columns import add_fact_columns
from firstsight.storage.recovery import begin_write, fail_run, recover
from firstsight.storage.store import Store
from firstsight.storage.tables import Part

ITEMS_PER_LOOKUP = 1_000

VIEWS_PER_WRITE = 20_000
"""Views of encoded items at which they are written: items that share a long video come faster than others."""


class IndexRun:
    """A run that indexes one catalogue into a database; the caller holds the writer lock."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        catalog: Catalog,
        policy: MediaPolicy,
        settings: IndexSettings,
        *,
        only: Collection[str] | None = None,
        standby: StandbyWriter | None = None,
        facts: ItemFacts | None = None,
        on_progress: Callable[[Counts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare a run.

        Args:
            only: ids of the items to encode, changed or not; None for all changed items.
            standby: encodes the items for the vector set that is not in force, too; None without one.
            facts: found in pictures and texts; None for none.
            on_progress: called with the counts at the start and after each batch, in the calling thread.
            should_stop: called between items; once it returns True, the run finishes and writes the items it has begun.
        """
        self.run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
        self._counts = RunningCounts(total=catalog.size if only is None else len(only), skipped_rows=catalog.bad_rows)
        self.reasons: dict[str, int] = {}
        self._store = store
        self._encoder = encoder
        self._standby = standby or StandbyWriter()
        self._facts = facts or NoFacts()
        self._catalog = catalog
        self._catalog_dir = str(catalog_root(catalog))
        self._policy = policy
        self._settings = settings
        self._only = only
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._stopped = False
        self._media = SharedMedia(self._deliver)
        self._changed_media = ChangedMedia(store, policy)
        self._pictures: deque[tuple[MediaJob, int, LoadedPicture]] = deque()
        self._texts: list[PendingItem] = []
        self._timed_texts = ItemTexts(policy)
        self._passages = PassageQueue(self._timed_texts, self._release, self._counts)
        self._done: list[PendingItem] = []
        self._done_views = 0
        self._refreshed: list[CatalogItem] = []
        self._last_write = time.monotonic()
        self._writing: Future[None] | None = None
        self._written: tuple[Sequence[PendingItem], Sequence[CatalogItem]] = ((), ())
        self._keep_ids = False
        self._stored_variants = 0
        self._encoded_ids: set[str] = set()
        self._unused_media = UnusedStoredMedia(store)
        self._items = ItemWriter(
            *(store, self.run_id, self._catalog_dir, settings),
            standby=self._standby,
            facts=self._facts,
            unused_media=self._unused_media,
        )

    def run(
        self, recorded_settings: dict[str, Any], *, prune: bool = False, warn_duplicates: bool = False
    ) -> IndexReport:
        """Index the catalogue.

        Args:
            recorded_settings: stored in `runs`, for repeating the run and retrying its failures.
            prune: remove stored items that are not in the catalogue; not after a stop.
            warn_duplicates: look for near-duplicates of the encoded items; not after a stop.

        Raises:
            CatalogError: the catalogue changed while it was being read.
            EncoderError: the encoder fails on every input.
            StoreError: the database cannot be written, or fetched media cannot be cached.
        """
        started = time.monotonic()
        self._keep_ids = warn_duplicates
        recover(self._store)
        row = {
            "run_id": self.run_id,
            "started_at": datetime.now(UTC),
            "source": self._catalog.source.name,
            "encoder": self._encoder.spec.name,
            "fingerprint": self._encoder.spec.fingerprint,
            "settings": recorded_settings,
        }
        self._store.write_run(row | {"outcome": "running", "counts": self._counts.freeze().to_dict()})
        self._on_progress(self._counts.freeze())
        try:
            types = self._catalog.types
            type_changes = types.apply(self._store, self._catalog.kinds, partial(self._catalog.has, usable=True))
            self._store.add_columns(self._catalog.kinds)
            add_fact_columns(self._store, self._facts.fields)
            types.note_choices(self._store)
            note_variants(self._store, self._catalog)
            if self._only is None:
                self._stored_variants = count_stored_variants(self._store, self._catalog)
            self._index()
            if prune and not self._stopped:
                self._prune()
            self._unused_media.remove()
            duplicates = self._find_duplicates() if warn_duplicates and not self._stopped else ()
        except BaseException:
            with suppress(StoreError):  # if this write fails too, the next writer marks the run as killed
                fail_run(self._store, self.run_id, self._counts.freeze().to_dict())
            raise
        outcome = "stopped" if self._stopped else "finished"
        counts = self._counts.freeze()
        ended = {"finished_at": datetime.now(UTC), "outcome": outcome, "counts": counts.to_dict()}
        self._store.write_run(row | ended)
        if not self._stopped:  # skip upkeep after a stop: the user wants to exit now
            self._items.finish()
        return describe_catalog(
            self._catalog,
            IndexReport(self.run_id, outcome, time.monotonic() - started, counts, self.reasons, duplicates),
            self._stored_variants,
            type_changes,
        )

    def _index(self) -> None:
        with ExitStack() as stack:
            min_side = max(self._encoder.spec.min_side, self._standby.min_side)
            facts = self._facts.picture_facts
            loader = stack.enter_context(MediaLoader(self._policy, self._settings, min_side, facts))
            self._writing_thread = stack.enter_context(ThreadPoolExecutor(1, "firstsight-write"))
            stack.enter_context(self._passages)
            for job, loaded in loader.load_ahead(self._jobs()):
                self._receive(job, loaded)
                while len(self._pictures) >= self._settings.batch_size:
                    self._encode_pictures()
                    self._encode_texts()  # of the same items, which are then complete
                    self._on_progress(self._counts.freeze())
                self._encode_and_write_when_due()
            while self._pictures:
                self._encode_pictures()
            self._passages.wait()
            self._encode_texts()
            self._write()
            self._finish_writing()

    # ---- plan

    def _jobs(self) -> Iterator[MediaJob | None]:
        """Yield the media of all items to encode; their titles go into the queue of texts.

        None means that a medium must be loaded before the next item is planned.
        """
        items = self._items_to_index()
        while chunk := list(itertools.islice(items, ITEMS_PER_LOOKUP)):
            stored = self._store.digests([item.item_id for item in chunk])
            changed = self._changed_media.items(chunk) if self._policy.refresh else set()
            for item in chunk:
                if self._should_stop():
                    self._stopped = True
                    return
                pending = self._plan(item, stored.get(item.item_id), changed)
                if pending is not None:
                    yield from self._start_item(pending)
                self._encode_and_write_when_due()  # here as well, because items without new media yield no jobs
                while self._media.too_many_wait:
                    if self._pictures:
                        self._encode_pictures()
                    else:
                        yield None
            self._on_progress(self._counts.freeze())

    def _items_to_index(self) -> Iterator[CatalogItem]:
        items = self._catalog.items()
        return items if self._only is None else (item for item in items if item.item_id in self._only)

    def _plan(self, item: CatalogItem, stored: tuple[str, str] | None, changed: set[str]) -> PendingItem | None:
        """Return the item if it must be encoded, else None."""
        texts = self._timed_texts.of(item)
        digest = encode_digest(item, self._settings, self._policy, self._timed_texts.stamp(texts))
        row = row_digest(item, self._catalog_dir)
        if stored is None or stored[0] != digest or item.item_id in changed or self._only is not None:
            return PendingItem(item, digest, row, replaces=stored is not None, timed_texts=texts)
        if stored[1] == row:
            self._counts["unchanged"] += 1
            self._counts["items"] += 1
        else:
            self._refreshed.append(item)
            self._counts["items"] += 1
        return None

    def _start_item(self, pending: PendingItem) -> Iterator[MediaJob]:
        uses = [MediaUse(pending, "image", n, uri) for n, uri in enumerate(pending.item.images)]
        uses += [MediaUse(pending, "video", n, uri) for n, uri in enumerate(pending.item.videos)]
        pending.waiting = len(uses) + (pending.title_text is not None) + len(pending.timed_texts)
        if pending.title_text is not None:
            self._texts.append(pending)
        if not pending.waiting:
            pending.fail("catalog", "", MediaError("empty", "the item has no title, text, picture or video"))
            self._finish(pending)
        self._passages.load(pending)
        for use in uses:
            job = self._media.request(use, change_stamp(use.uri, self._policy))
            if job is not None:
                yield job

    # ---- load and encode

    def _receive(self, job: MediaJob, loaded: LoadedMedium | MediaError) -> None:
        if isinstance(loaded, MediaError):
            self._media.failed(job, loaded)
        else:
            self._pictures.extend((job, n, picture) for n, picture in enumerate(loaded.pictures))
            self._media.loaded(job, loaded)

    def _encode_pictures(self) -> None:
        batch = [self._pictures.popleft() for _ in range(min(self._settings.batch_size, len(self._pictures)))]
        pictures = [loaded.picture for _, _, loaded in batch]
        outcomes, others = try_images(self._encoder, pictures), self._standby.encode_images(pictures)
        for (job, n, loaded), outcome, other in zip(batch, outcomes, others, strict=True):
            self._media.encoded(job, n, loaded, outcome, other)

    def _deliver(self, use: MediaUse, encoded: EncodedMedium, shared: bool) -> None:
        """Add the views and failures of a medium to an item."""
        self._counts["media"] += 1
        self._counts["shared_media"] += shared
        for stage, error in encoded.failures:
            use.pending.fail(stage, use.uri, error)
        functions = self._facts.picture_facts
        if failure := facts_failure((picture.facts for picture in encoded.pictures), functions):
            use.pending.fail(FACTS_STAGE, use.uri, failure)
        for picture in encoded.pictures:
            part: Part = "image" if use.medium == "image" else "frame"
            place = f"-{use.index}" if part == "image" else f"-{use.index}-{picture.index}"
            facts = stored_facts(picture.facts, functions)
            use.pending.add_view(part, place, picture.vector, picture.info, picture.standby, facts)
            self._counts["pictures" if part == "image" else "frames"] += 1
        if encoded.prints is not None:
            use.pending.add_prints(use.index, use.uri, encoded.prints)
        self._passages.add_speech(use, encoded.speech)
        self._release(use.pending)

    def _encode_texts(self) -> None:
        self._passages.encode(self._encoder, self._settings.text_batch_size, self._standby)
        pending_items, self._texts = self._texts, []
        if not pending_items:
            return
        titles = [pending.title_text or "" for pending in pending_items]
        outcomes, others = try_texts(self._encoder, titles), self._standby.encode_texts(titles)
        for pending, outcome, other in zip(pending_items, outcomes, others, strict=True):
            if isinstance(outcome, MediaError):
                pending.fail("encode", "", outcome)
            else:
                pending.add_view("title", "", outcome, standby=other)
                self._counts["texts"] += 1
            self._release(pending)

    def _release(self, pending: PendingItem) -> None:
        pending.waiting -= 1
        if not pending.waiting:
            self._finish(pending)

    def _finish(self, pending: PendingItem) -> None:
        self._done.append(pending)
        self._done_views += len(pending.views)
        self._counts["items"] += 1
        if self._done_views >= VIEWS_PER_WRITE:
            self._write()

    # ---- write

    def _encode_and_write_when_due(self) -> None:
        """Encode and write texts and items once a batch is full, so that memory stays constant."""
        self._passages.receive()
        if max(len(self._texts), len(self._passages)) >= self._settings.text_batch_size:
            self._encode_texts()
        full = len(self._done) + len(self._refreshed) >= self._settings.write_items
        if full or time.monotonic() - self._last_write > self._settings.write_seconds:
            self._encode_texts()
            self._write()

    def _write(self) -> None:
        done, self._done = self._done, []
        self._done_views = 0
        refreshed, self._refreshed = self._refreshed, []
        self._last_write = time.monotonic()
        self._finish_writing()
        if done or refreshed:
            self._writing = self._writing_thread.submit(self._items.write, done, refreshed)
            self._written = (done, refreshed)

    def _finish_writing(self) -> None:
        """Wait for the running write, then count its items: items count as encoded once they are on disk."""
        if self._writing is None:
            return
        self._writing.result()
        self._writing = None
        done, refreshed = self._written
        self._counts["encoded"] += len(done)
        self._encoded_ids.update(pending.item.item_id for pending in done if self._keep_ids)
        self._counts["refreshed"] += len(refreshed)
        for pending in done:
            self._counts["failed_facts"] += sum(failure["stage"] == FACTS_STAGE for failure in pending.failures)
            media = [failure for failure in pending.failures if failure["stage"] != FACTS_STAGE]
            for uri, reason in {failure["uri"]: failure["reason"] for failure in media}.items():
                if reason == "empty":  # the item has no medium that could fail
                    self._counts["empty"] += 1
                elif not uri:
                    self._counts["failed_texts"] += 1
                else:
                    self._counts["failed_media"] += 1
                    self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self._on_progress(self._counts.freeze())

    def _find_duplicates(self) -> tuple[DuplicatePair, ...]:
        """Find near-duplicates of this run's items among all stored items; each pair starts with one of this run's."""
        if not self._encoded_ids:
            return ()
        pairs = pairs_between_products(self._store, find_duplicates(self._store, only=self._encoded_ids))
        oriented = tuple(pair if pair.item_id in self._encoded_ids else pair.swapped() for pair in pairs)
        ends = {name for pair in oriented for name in (pair.item_id, pair.other_id)}
        self._counts["duplicates"] = len(ends & self._encoded_ids)
        return oriented

    def _prune(self) -> None:
        source = self._catalog.source
        unread = tuple(f"{folder}/" for folder in source.unread_folders) if isinstance(source, FolderSource) else ()
        for ids in self._store.item_ids():
            if gone := sorted(name for name in set(ids) - self._catalog.has(ids) if not name.startswith(unread)):
                begin_write(self._store, self.run_id, gone)
                self._unused_media.note(gone)
                self._store.delete_items(gone)
                self._counts["pruned"] += len(gone)
