"""Rerankers, in the Python API: fit them, promote one, drop it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from firstsight.api.connection import FIT_WAIT_S, Connection
from firstsight.errors import QueryError
from firstsight.retrieval.reranker_store import RerankerVersion


class Rerankers:
    """Models that reorder search results, fitted to judgements or events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def versions(self) -> list[RerankerVersion]:
        """List all fitted rerankers, oldest first, with their held-out figures and whether searches use them."""
        self._connection.open()
        return self._connection.shelf.versions()

    def fit(
        self,
        *,
        judgements: str | os.PathLike[str] | None = None,
        events: str | os.PathLike[str] | None = None,
        columns: Sequence[str] | None = None,
        mode: str = "hybrid",
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> RerankerVersion:
        """Fit a reranker to judgements or events, measure it on held-out queries, and store it without promoting it.

        Args:
            judgements: a file of graded items, see `firstsight.retrieval.evaluation.judgements`.
            events: a file of search events, instead of judgements.
            columns: numbers and flags of the catalogue to learn from, such as price and sales; all of them by default.
            mode: search mode to learn from and to rerank: "hybrid", "vector" or "words".
            wait_s: maximum wait for another writer before the reranker is stored, in seconds.
            on_progress: called with the name of each step.

        Returns:
            The new version. Its `figures` have queries, ndcg_before, ndcg_after and p, all of held-out queries.

        Raises:
            QueryError: there is not exactly one file, the file cannot be used, fewer than 20 of its queries can teach
                something, or a column is neither number nor flag.
            OptionalDependencyError: LightGBM is not installed.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.retrieval.evaluation.judgements import read_events, read_judgements
        from firstsight.retrieval.rerank.reranker_fitting import fit
        from firstsight.retrieval.search import make_rankers

        if (judgements is None) == (events is None):
            raise QueryError("give one file to learn from: --judgements or --events")
        judged = read_events(os.fspath(events)) if events is not None else read_judgements(os.fspath(judgements or ""))
        store = self._connection.open()
        rankers = partial(
            make_rankers,
            store,
            encoder=lambda: self._connection.encoder,
            policy=self._connection.policy,
            calibration=partial(self._connection.calibration, store),
        )
        fitted = fit(store, judged, rankers=rankers, columns=columns, mode=mode, on_progress=on_progress)
        with store.writing(wait_s):
            return self._connection.shelf.add(fitted)

    def promote(self, version: int | None = None, *, wait_s: float = FIT_WAIT_S) -> RerankerVersion:
        """Use a reranker in searches of its mode, instead of the present one.

        Args:
            version: number of a reranker; None for the newest.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no such reranker, or it does not raise NDCG@10 on held-out queries at p < 0.05.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.retrieval.rerank.reranker_fitting import promote

        store = self._connection.open()
        with store.writing(wait_s):
            return promote(store, self._connection.shelf, version)

    def drop(self, version: int | None = None, *, wait_s: float = FIT_WAIT_S) -> list[RerankerVersion]:
        """Stop using a reranker in searches; it stays stored and can be promoted again.

        Args:
            version: number of a reranker; None for all in use.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The rerankers that were in use before.

        Raises:
            QueryError: there is no such version.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.retrieval.rerank.reranker_fitting import drop

        with self._connection.open().writing(wait_s):
            return drop(self._connection.shelf, version)
