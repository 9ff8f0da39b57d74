"""Fitted rankings, in the Python API: fit the weights of score terms, list and choose versions, explain items."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firstsight.api.connection import FIT_WAIT_S, Connection
from firstsight.errors import QueryError

if TYPE_CHECKING:
    from firstsight.recommend.events.interactions import Interactions
    from firstsight.recommend.items import ItemSpace
    from firstsight.recommend.ranking.ranking_explanation import RankingExplanation
    from firstsight.recommend.ranking.ranking_store import RankingVersion
    from firstsight.recommend.recommender import Recommender
    from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
    from firstsight.storage.store import Store


class RankingModels:
    """Weights of the score terms that `recommend` orders items by, fitted to the logged events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fit(
        self,
        *,
        use: bool | None = None,
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> RankingVersion:
        """Fit a ranking to all events, and store it as the next version.

        The weights are fitted on held-out next events of half of the users, and compared with the ranking without
        fitted weights on those of the other half. If a sequence model is in use, the ranking has its term: another
        one is trained on the earlier events with the same settings, which takes minutes.

        Args:
            use: put the version into use: None only if the comparison says that it is better; True in any case; False
                never.
            wait_s: maximum wait for another writer before the version is stored, in seconds.
            on_progress: called with the name of each step.

        Returns:
            The version, with its figures on held-out events.

        Raises:
            QueryError: there are no events, or too few.
            OptionalDependencyError: implicit is not installed.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.ranking.ranking_store import fit_ranking

        store = self._connection.open()
        on_progress("reading items and events")
        space = ItemSpace.load(store)
        train = Events(store).interactions(space)
        model = self._sequence_model(store, space)

        def fit_sequence(events: Interactions) -> Recommender:
            assert model is not None
            on_progress("training the sequence model on earlier events")
            model.fit(events)
            model.learn()
            return model

        return fit_ranking(
            store,
            space,
            train,
            use=use,
            fit_sequence=None if model is None else fit_sequence,
            wait_s=wait_s,
            on_progress=on_progress,
        )

    def versions(self) -> list[RankingVersion]:
        """List all fitted rankings, oldest first.

        Raises:
            MissingDatabaseError: there is no database.
            StoreError: a version is damaged, or of a newer firstsight.
        """
        from firstsight.recommend.ranking.ranking_store import list_rankings

        return list_rankings(self._connection.open())

    def use(self, version: int | None, *, wait_s: float = FIT_WAIT_S) -> None:
        """Put a fitted ranking into use instead of the present one.

        Args:
            version: number of a version; None for the ranking without fitted weights.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no such version.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.ranking.ranking_store import use_ranking

        use_ranking(self._connection.open(), version, wait_s=wait_s)

    def explain(
        self, user: str, item: str | None = None, *, version: int | None = None, k: int = 10
    ) -> RankingExplanation:
        """Tell what each term adds to the scores of items for a user.

        Args:
            user: id of a user in the logged events; one without events gets the ranking for everybody.
            item: item id; None for the first k items of the ranking that may be shown.
            version: number of a version; by default the one in use, or the ranking without fitted weights.
            k: number of items, without `item`, 1 to 1,000.

        Raises:
            QueryError: the item or the version is unknown, or k is out of range.
            MissingDatabaseError: there is no database.
            EncoderMismatchError: the version was fitted on vectors of another encoder.
            StoreError: the version is damaged, or of a newer firstsight.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace, Places
        from firstsight.recommend.ranking.ranking_explanation import RankingExplanation, explain_items
        from firstsight.recommend.ranking.ranking_inputs import RankingInputs

        if not 1 <= k <= 1_000:
            raise QueryError(f"{k} items cannot be explained; give k of 1 to 1,000")
        store = self._connection.open()
        space = ItemSpace.load(store)
        places = None if item is None else space.places([str(space.item_ids[space.place(item)])])
        inputs = RankingInputs.load(store, space, version)
        events = Events(store)
        ranking = inputs.ranking(events.interactions(space) if events.version() else None)
        history = events.history(user, space)

        def read_titles(rows: Places) -> list[str | None]:
            ids = [str(item_id) for item_id in space.item_ids[rows]]
            titles = store.column_values(ids, ["title"])
            return [titles.get(item_id, {}).get("title") for item_id in ids]

        now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
        explained = explain_items(
            ranking, history, places, showable=space.showable(now_us), k=k, read_titles=read_titles
        )
        used = None if inputs.stored is None else inputs.stored.version.version
        return RankingExplanation(explained, user, len(history), used)

    def _sequence_model(self, store: Store, space: ItemSpace) -> SequenceRecommender | None:
        """The sequence model in use; its `fit` learns other events with the same settings."""
        from firstsight.recommend.sequence.sequence_store import load_sequence_model

        return load_sequence_model(store, space, encode=lambda texts: self._connection.encoder.encode_texts(texts))
