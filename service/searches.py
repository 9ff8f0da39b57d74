"""Searches of many requests, answered together: `Database.search_many` takes half the time of as many calls or less."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, TypeAlias

from firstsight.errors import FirstsightError
from firstsight.retrieval.query import Query
from firstsight.retrieval.results import SearchResults
from firstsight.service.batch_figures import BatchFigures
from firstsight.service.batching import Batcher, Lane
from firstsight.service.databases import Databases
from firstsight.service.metrics import Metrics
from firstsight.service.settings import ServiceSettings

Found: TypeAlias = list[SearchResults | FirstsightError]

TOGETHER: Final = 16
"""Searches of one batch at most. CPU ms a search by words and meaning, one by one 51, by 4 30, by 16 26, by 64 25; by
meaning alone 42, 18, 11, 14."""


class Searches:
    """A queue of searches, and the threads that answer them.

    A lone search starts at once; what comes while all threads are at work goes together.
    """

    def __init__(self, databases: Databases, settings: ServiceSettings, metrics: Metrics) -> None:
        self._databases = databases
        self._lane: Lane[Query, Found] = Lane("searches", self._answer, TOGETHER, 0.0, settings.batching.search_queue)
        threads = min(settings.threads, len(os.sched_getaffinity(0)))
        self._batcher = Batcher([self._lane], BatchFigures(metrics), threads)

    def submit(self, query: Query, ends: float) -> Future[Found]:
        """Queue a search whose pictures are decoded and which names no video: the others must not wait for a download.

        Args:
            ends: on the clock of `time.monotonic`; what has not been begun by then is dropped.

        Returns:
            A future of a list of one: the results, or the error that this query has.

        Raises:
            QueueFullError, StoppedError: nothing was queued.
        """
        return self._batcher.submit(self._lane, [query], ends)

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._batcher.close()

    def _answer(self, queries: Sequence[Query]) -> Found:
        with self._databases.reading() as db:
            return db.search_many(queries)
