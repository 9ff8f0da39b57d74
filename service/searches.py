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
from firstsight.encoders.options import usable_cpus
from firstsight.errors import FirstsightError, QueryError
from firstsight.retrieval.query import Query
from firstsight.retrieval.results import SearchResults
from firstsight.service.batch_figures import BatchFigures
from firstsight.service.batching import Batcher, Lane
from firstsight.service.databases import Databases
from firstsight.service.metrics import Metrics
from firstsight.service.settings import ServiceSettings
from firstsight.service.wanted import must_be_wanted

Found: TypeAlias = list[SearchResults | FirstsightError]

TOGETHER: Final = 16
"""Searches of one batch at most. CPU ms of a search by words and meaning, one by one 51, by 4 30, by 16 26, by 64 25;
by meaning alone 42, 18, 11, 14."""


@dataclass(frozen=True)
class Ask:
    """A search, and for whom."""

    query: Query  # its pictures decoded, its videos at hand
    moderates: bool  # else a blocked item is as one that is not there


class Searches:
    """A queue of searches, and the threads that answer them.

    A lone search starts at once; what comes while every thread is at work goes together.
    """

    def __init__(self, databases: Databases, settings: ServiceSettings, metrics: Metrics) -> None:
        self._databases = databases
        self._timeout_s = settings.batching.timeout_s
        self._lane: Lane[Ask, Found] = Lane("searches", self._answer, TOGETHER, 0.0, settings.batching.search_queue)
        self._batcher = Batcher([self._lane], BatchFigures(metrics), threads=min(settings.threads, usable_cpus()))
        # each decodes for seconds with a database in hand, and leaves most to the others
        self._videos = anyio.CapacityLimiter(max(1, settings.threads // 4))

    async def search(self, ask: Ask) -> SearchResults:
        """The answer to a search; dropped where the task is cancelled before it was begun.

        Raises:
            QueryError, MediaError: it cannot be answered.
            QueueFullError, DeadlineError, StoppedError: not now.
        """
        if ask.query.videos:  # not together with searches that take no time
            (found,) = await run_sync(self._answer_alone, ask, limiter=self._videos)
        else:
            future = self._batcher.submit(self._lane, [ask], time.monotonic() + self._timeout_s)
            (found,) = await asyncio.wrap_future(future)
        if isinstance(found, FirstsightError):
            raise found
        return found

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._batcher.close()

    def _answer_alone(self, ask: Ask) -> Found:
        with self._databases.reading() as db:
            must_be_wanted()
            return _answers(db, [ask])

    def _answer(self, asks: Sequence[Ask]) -> Found:
        with self._databases.reading() as db:
            return _answers(db, asks)


def _answers(db: Database, asks: Sequence[Ask]) -> Found:
    named = {item_id for ask in asks if not ask.moderates for item_id in ask.query.items}
    blocked = db.store.blocked(sorted(named)) if named else set()
    refused: dict[int, FirstsightError] = {}
    for n, ask in enumerate(asks):
        hidden = [] if ask.moderates else [item_id for item_id in ask.query.items if item_id in blocked]
        if hidden:  # in the words for one that is not there at all
            refused[n] = QueryError(f"there is no item {hidden[0]!r}")
    found = iter(db.search_many([ask.query for n, ask in enumerate(asks) if n not in refused]))
    return [refused[n] if n in refused else next(found) for n in range(len(asks))]
