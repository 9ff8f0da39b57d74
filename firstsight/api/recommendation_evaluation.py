"""How well items are recommended, in the Python API."""

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
    """Measures on the log of events and on links; no encoder is loaded for them."""

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
        """Compare recommenders on the database's events, each fitted anew on what a protocol lets it see.

        Args:
            protocols: "item-cold", "user-cold", "time"; see `firstsight.recommend.evaluation.protocols`.
            models: names, see `firstsight.recommend.model_factories`; all by default.
            k: depth of the measures.
            seeds: draws of held-out items and users; figures are means over them.
            share: of items, users or events held out, between 0 and 1.
            first: how many events of a new user are known; one report for each.
            on_progress: told what is done next.

        Raises:
            QueryError: no events, too few, an unknown name, or a number out of range.
            OptionalDependencyError: implicit is not installed, and one of the models learns by it.
        """
        from firstsight.recommend.evaluation.recommender_evaluation import evaluate_recommenders
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.model_factories import select_model_factories

        store = self._open()
        space = ItemSpace.load(store)
        chosen = select_model_factories(store, space, models)
        return evaluate_recommenders(
            Events(store).interactions(space),
            chosen,
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
        """How many of the items that people have linked are among the nearest, kind of link by kind.

        Args:
            file: see `firstsight.recommend.evaluation.item_links.read_links`.
            column: of the catalogue, whose values are linked; item ids by default.
            k: depth of the measures.

        Raises:
            CatalogError: the file cannot be used.
            QueryError: there is no such column, or k is below 1.
        """
        from firstsight.recommend.evaluation.item_links import read_links
        from firstsight.recommend.evaluation.link_evaluation import evaluate_links
        from firstsight.recommend.items import ItemSpace

        store = self._open()
        space = ItemSpace.load(store)
        links = read_links(os.fspath(file), store, space, column=column)
        return evaluate_links(space, links, k=k), links
