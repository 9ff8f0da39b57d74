"""Queue that runs searches of many requests in batches: `Database.search_many` takes at most half the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import anyio
from anyio.to_thread import run_sync

from firstsight import Database
from firstsight.encoders.encoder_options import usable_cpus
from firstsight.errors import FirstsightError, QueryError
from firstsight.retrieval.query import Query
from firstsight.retrieval.results import SearchResults
from firstsight.service.batching.batcher import Batcher, Lane
from firstsight.service.batching.cancellation import raise_if_cancelled
from firstsight.service.batching.prometheus_batch_metrics import PrometheusBatchMetrics
from firstsight.service.database_pool import DatabasePool
from firstsight.service.metrics import Metrics
from firstsight.service.service_settings import ServiceSettings

SearchOutcomes: TypeAlias = list[SearchResults | FirstsightError]

MAX_BATCH: Final = 16
"""Maximum searches in one batch. CPU time of one search in batches of 1, 4, 16 and 64: 51, 30, 26 and 25 ms (hybrid);
42, 18, 11 and 14 ms (vectors only)."""


@dataclass(frozen=True)
class PendingSearch:
    """A search that waits, with the rights of its client."""

    query: Query  # pictures are decoded, videos are local files
    moderates: bool  # if False, blocked items are treated as missing


class SearchQueue:
    """A queue of searches with the threads that run them.

    A single search starts at once. Searches that arrive while all threads are busy share a batch.
    """

    def __init__(self, databases: DatabasePool, settings: ServiceSettings, metrics: Metrics) -> None:
        self._databases = databases
        self._timeout_s = settings.batching.timeout_s
        self._lane: Lane[PendingSearch, SearchOutcomes] = Lane(
            "searches", self._run_batch, MAX_BATCH, 0.0, settings.batching.search_queue
        )
        self._batcher = Batcher(
            [self._lane], PrometheusBatchMetrics(metrics), threads=min(settings.threads, usable_cpus())
        )
        # a video search holds a database for seconds while it decodes: a quarter of the databases at most
        self._videos = anyio.CapacityLimiter(max(1, settings.threads // 4))

    async def search(self, pending: PendingSearch) -> SearchResults:
        """Run a search; if the task is cancelled before the search starts, the search is dropped.

        Raises:
            QueryError: the query is invalid, or names an item that is missing or blocked.
            MediaError: a video of the query cannot be decoded.
            QueueFullError: too many searches wait.
            DeadlineError: the search waited longer than `batching.timeout_s`.
            StoppedError: the service is stopping.
            OverloadedError: no database came free in time.
        """
        if pending.query.videos:  # decoding would delay the other searches of a batch
            (outcome,) = await run_sync(self._run_alone, pending, limiter=self._videos)
        else:
            future = self._batcher.submit(self._lane, [pending], time.monotonic() + self._timeout_s)
            (outcome,) = await asyncio.wrap_future(future)
        if isinstance(outcome, FirstsightError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Finish the queued searches, then stop."""
        self._batcher.close()

    def _run_alone(self, pending: PendingSearch) -> SearchOutcomes:
        with self._databases.reading() as db:
            raise_if_cancelled()
            return _run_searches(db, [pending])

    def _run_batch(self, searches: Sequence[PendingSearch]) -> SearchOutcomes:
        with self._databases.reading() as db:
            return _run_searches(db, searches)


def _run_searches(db: Database, searches: Sequence[PendingSearch]) -> SearchOutcomes:
    item_ids = {item_id for pending in searches if not pending.moderates for item_id in pending.query.items}
    blocked = db.safety.blocked(item_ids) if item_ids else frozenset()
    refused: dict[int, FirstsightError] = {}
    for n, pending in enumerate(searches):
        hidden = [] if pending.moderates else [item_id for item_id in pending.query.items if item_id in blocked]
        if hidden:  # the same message as for an item that does not exist
            refused[n] = QueryError(f"there is no item {hidden[0]!r}")
    queries = [pending.query for n, pending in enumerate(searches) if n not in refused]
    outcomes = iter(db.search_many(queries, on_error="return"))
    return [refused[n] if n in refused else next(outcomes) for n in range(len(searches))]
