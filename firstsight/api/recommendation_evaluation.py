"""Evaluation of recommendations, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firstsight.api.connection import DatabaseConnection

if TYPE_CHECKING:
    from firstsight.recommend.evaluation.item_links import Links
    from firstsight.recommend.evaluation.link_evaluation import LinkReport
    from firstsight.recommend.evaluation.recommender_evaluation import ProtocolReport


class RecommendationEvaluationPart(DatabaseConnection):
    """Measures on logged events and on links between items; these methods load no encoder."""

    def evaluate_recommend(
        self,
        *,
        protocols: Sequence[str] = ("item-cold", "user-cold", "time"),
        models: Sequence[str] = (),
        k: int = 20,
        seeds: int = 3,
        share: float = 0.2,
        first: Sequence[int] = (1, 5, 10),
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> list[ProtocolReport]:
        """Compare recommenders on the database's events, fitted to the training events of each protocol.

        Args:
            protocols: "item-cold", "user-cold", "time"; see `firstsight.recommend.evaluation.protocols`.
            models: names from `firstsight.recommend.model_factories`; all by default.
            k: depth of the measures.
            seeds: number of random draws of held-out items and users; figures are means over the draws.
            share: share of held-out items, users or events, between 0 and 1.
            first: numbers of known events of a new user; one report for each number.
            on_progress: called with one line before each step.

        Raises:
            QueryError: there are no events, or too few; a name is unknown; or a number is out of range.
            MissingDatabaseError: there is no database.
            OptionalDependencyError: implicit is not installed, and one of the models needs it.
        """
        from firstsight.recommend.evaluation.recommender_evaluation import evaluate_recommenders
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.model_factories import select_model_factories

        store = self._open()
        space = ItemSpace.load(store)
        recommenders = select_model_factories(store, space, models)
        return evaluate_recommenders(
            Events(store).interactions(space),
            recommenders,
            protocols=protocols,
            k=k,
            seeds=seeds,
            share=share,
            first=first,
            on_progress=on_progress,
        )

    def evaluate_links(
        self, file: str | os.PathLike[str], *, column: str | None = None, k: int = 10
    ) -> tuple[list[LinkReport], Links]:
        """Measure how many of the items that people have linked are among the nearest items, for each kind of link.

        Args:
            file: a file of links, see `firstsight.recommend.evaluation.item_links.read_links`.
            column: catalogue column with the linked values; None for item ids.
            k: depth of the measures.

        Returns:
            A report for each kind of link, and the links.

        Raises:
            CatalogError: the file cannot be used.
            QueryError: there is no such column, or k is below 1.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.evaluation.item_links import read_links
        from firstsight.recommend.evaluation.link_evaluation import evaluate_links
        from firstsight.recommend.items import ItemSpace

        store = self._open()
        space = ItemSpace.load(store)
        links = read_links(os.fspath(file), store, space, column=column)
        return evaluate_links(space, links, k=k), links
