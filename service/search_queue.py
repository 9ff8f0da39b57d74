"""Searches of many requests, answered together: `Database.search_many` takes half the time of as many calls or less."""

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
"""Searches of one batch at most. CPU ms of a search by words and meaning, one by one 51, by 4 30, by 16 26, by 64 25;
by meaning alone 42, 18, 11, 14."""


@dataclass(frozen=True)
class PendingSearch:
    """A search, and for whom."""

    query: Query  # its pictures decoded, its videos at hand
    moderates: bool  # else a blocked item is as one that is not there


class SearchQueue:
    """A queue of searches, and the threads that answer them.

    A lone search starts at once; what comes while every thread is at work goes together.
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
        # each decodes for seconds with a database in hand, and leaves most to the others
        self._videos = anyio.CapacityLimiter(max(1, settings.threads // 4))

    async def search(self, pending: PendingSearch) -> SearchResults:
        """The answer to a search; dropped where the task is cancelled before it was begun.

        Raises:
            QueryError, MediaError: it cannot be answered.
            QueueFullError, DeadlineError, StoppedError: not now.
        """
        if pending.query.videos:  # not together with searches that take no time
            (found,) = await run_sync(self._run_alone, pending, limiter=self._videos)
        else:
            future = self._batcher.submit(self._lane, [pending], time.monotonic() + self._timeout_s)
            (found,) = await asyncio.wrap_future(future)
        if isinstance(found, FirstsightError):
            raise found
        return found

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._batcher.close()

    def _run_alone(self, pending: PendingSearch) -> SearchOutcomes:
        with self._databases.reading() as db:
            raise_if_cancelled()
            return _run_searches(db, [pending])

    def _run_batch(self, searches: Sequence[PendingSearch]) -> SearchOutcomes:
        with self._databases.reading() as db:
            return _run_searches(db, searches)


def _run_searches(db: Database, searches: Sequence[PendingSearch]) -> SearchOutcomes:
    named = {item_id for pending in searches if not pending.moderates for item_id in pending.query.items}
    blocked = db.store.blocked(sorted(named)) if named else set()
    refused: dict[int, FirstsightError] = {}
    for n, pending in enumerate(searches):
        hidden = [] if pending.moderates else [item_id for item_id in pending.query.items if item_id in blocked]
        if hidden:  # in the words for one that is not there at all
            refused[n] = QueryError(f"there is no item {hidden[0]!r}")
    found = iter(db.search_many([pending.query for n, pending in enumerate(searches) if n not in refused]))
    return [refused[n] if n in refused else next(found) for n in range(len(searches))]
