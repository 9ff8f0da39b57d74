"""Measures and maps of a database, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.errors import QueryError

if TYPE_CHECKING:
    from firstsight.api.searching import Searching
    from firstsight.encoders.base import Encoder
    from firstsight.indexer.columns.catalog_options import CatalogOptions
    from firstsight.indexer.inputs.input_kinds import CatalogueInput
    from firstsight.recommend.evaluation.link_evaluation import LinkEvaluation
    from firstsight.recommend.evaluation.next_item_evaluation import NextItemReport, Repeats
    from firstsight.recommend.evaluation.recommender_evaluation import ProtocolReport
    from firstsight.recommend.off_policy.slate_evaluation import SlateEvaluation
    from firstsight.recommend.slates.rules.slate_settings import SlateOptions
    from firstsight.retrieval.evaluation.robustness.robustness_report import RobustnessReport
    from firstsight.retrieval.evaluation.robustness.robustness_settings import RobustnessSettings
    from firstsight.retrieval.evaluation.search_evaluation import SearchTask
    from firstsight.retrieval.pages.space_map import Method, SpaceMap
    from firstsight.storage.store import Store


class Evaluation:
    """Measures of search and recommendation on judgements, events and links, and a map of the items."""

    def __init__(self, connection: Connection, searching: Searching) -> None:
        self._connection = connection
        self._searching = searching

    def search(
        self,
        judgements: str | os.PathLike[str] | None = None,
        *,
        k: int = 10,
        modes: Sequence[str] = ("vector",),
        queries: int = 200,
        seed: int = 0,
        group_by: Sequence[str] | None = None,
    ) -> list[SearchTask]:
        """Measure the quality of search, with judgements or with queries generated from the catalogue.

        Args:
            judgements: a file of graded items, see `firstsight.retrieval.evaluation.judgements.read_judgements`.
            k: depth of the measures, 1 to 1,000.
            modes: "vector", "words", "hybrid", each without a reranker. A mode is also measured with its promoted
                reranker, and with a newer one that was fitted to it.
            queries: maximum number of generated queries of each task; without judgements.
            seed: random seed of generated queries.
            group_by: columns whose values become generated queries for groups of items; colour and category by default.

        Raises:
            QueryError: the judgements cannot be used, or the catalogue gives no queries.
            MissingDatabaseError: there is no database.
            OptionalDependencyError: the extra `evaluate` is not installed.
        """
        from firstsight.retrieval.evaluation.catalogue_queries import build_catalogue_tasks
        from firstsight.retrieval.evaluation.judgements import read_judgements
        from firstsight.retrieval.evaluation.search_evaluation import evaluate
        from firstsight.retrieval.reranker_store import versions_to_evaluate

        judged = None if judgements is None else read_judgements(os.fspath(judgements))
        store = self._connection.open()
        rerankers = versions_to_evaluate(self._connection.shelf, modes)
        if judged is None:
            return build_catalogue_tasks(
                *(self._searching, store),
                k=k,
                modes=modes,
                rerankers=rerankers,
                queries=queries,
                seed=seed,
                group_by=group_by,
            )
        known = partial(_stored_ids, store)
        return [evaluate(self._searching, judged, k=k, modes=modes, rerankers=rerankers, known=known)]

    def write_search_page(self, path: str | os.PathLike[str], tasks: Sequence[SearchTask]) -> None:
        """Write the tasks of `search` as an HTML page with the worst queries and their pictures.

        Args:
            path: of the page; an existing file is replaced.
            tasks: the tasks.

        Raises:
            MissingDatabaseError: there is no database.
            OSError: the page cannot be written.
        """
        from firstsight.retrieval.pages.search_evaluation_page import write_search_evaluation

        write_search_evaluation(Path(path), tasks, self._connection.open(), policy=self._connection.policy)

    def recommend(
        self,
        *,
        protocols: Sequence[str] | None = None,
        models: Sequence[str] = (),
        k: int = 20,
        seeds: int = 3,
        share: float = 0.2,
        first: Sequence[int] = (1, 5, 10),
        exposure: Sequence[str] | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> list[ProtocolReport]:
        """Compare recommenders on the database's events, fitted to the training events of each protocol.

        Args:
            protocols: "item-cold", "user-cold", "time"; see `firstsight.recommend.evaluation.protocols`. By default
                all, without "time" if the events have an order but no times. For the next item, see `next_items`.
            models: names from `firstsight.recommend.model_factories`; all by default.
            k: depth of the measures.
            seeds: number of random draws of held-out items and users; figures are means over the draws.
            share: share of held-out items, users or events, between 0 and 1.
            first: numbers of known events of a new user; one report for each number.
            exposure: columns of the catalogue whose values share the slots, besides new items and kinds; by default
                `seller`, if the catalogue has it.
            on_progress: called with one line before each step.

        Raises:
            QueryError: there are no events, or too few; a name is unknown; a number is out of range; or the protocol is
                "time" and the events have no times.
            MissingDatabaseError: there is no database.
            OptionalDependencyError: implicit is not installed, and one of the models needs it.
        """
        from firstsight.recommend.evaluation.exposure import read_item_groups
        from firstsight.recommend.evaluation.recommender_evaluation import PROTOCOLS, evaluate_recommenders
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.events.order_times import has_order_only
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.model_factories import select_model_factories

        store = self._connection.open()
        space = ItemSpace.load(store)
        recommenders = select_model_factories(store, space, models)
        divisions = read_item_groups(store, space, exposure)
        interactions = Events(store).interactions(space)
        if protocols is None:
            protocols = PROTOCOLS
            if has_order_only(interactions.times):
                protocols = [name for name in PROTOCOLS if name != "time"]
                on_progress("the events have an order but no times, so the protocol time is left out")
        return evaluate_recommenders(
            interactions,
            recommenders,
            protocols=protocols,
            k=k,
            seeds=seeds,
            share=share,
            first=first,
            divisions=divisions,
            on_progress=on_progress,
        )

    def next_items(
        self,
        samples: str | os.PathLike[str] | None = None,
        *,
        models: Sequence[str] = (),
        repeats: Repeats = "keep",
        order_only: bool = False,
        history: int | None = None,
        k: int = 20,
        exposure: Sequence[str] | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> NextItemReport:
        """Compare recommenders on the next item of each history: HR and NDCG at 5, 10 and 20, of all items.

        Args:
            samples: a file of samples, see `firstsight.recommend.evaluation.next_item_file.read_next_item_file`: models
                are fitted to its training, and need no events in the database. By default the database's events, split
                by time: the last tenth of the next events is the test, the tenth before it the validation.
            models: names from `firstsight.recommend.model_factories`; all by default.
            repeats: "keep": items of the history are ranked; "leave-out": they are not, and samples whose target is in
                the history are left out.
            order_only: hold out the last events of each user instead, as events without times need it.
            history: maximum number of events of a history, the newest ones; by default 50 of the database's events, and
                all of a file's.
            k: length of the rankings whose exposure is measured, 1 to 100.
            exposure: as for `recommend`.
            on_progress: called with one line before each step.

        Raises:
            QueryError: there are no events, too few, or ones without times; a name is unknown; or a value is out of
                range.
            CatalogError: the file of samples cannot be used.
            MissingDatabaseError: there is no database.
            OptionalDependencyError: implicit is not installed, and one of the models needs it.
        """
        from firstsight.recommend.evaluation.exposure import read_item_groups
        from firstsight.recommend.evaluation.next_item_evaluation import evaluate_next_items
        from firstsight.recommend.evaluation.next_item_file import read_next_item_file
        from firstsight.recommend.evaluation.next_item_split import HISTORY, split_by_order, split_by_time
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.model_factories import select_model_factories

        store = self._connection.open()
        space = ItemSpace.load(store)
        recommenders = select_model_factories(store, space, models)
        divisions = read_item_groups(store, space, exposure)
        if samples is not None:
            if order_only:
                raise QueryError("a file of samples is split already; leave out order_only")
            split = read_next_item_file(os.fspath(samples), store, space, history=history)
        else:
            make = split_by_order if order_only else split_by_time
            length = HISTORY if history is None else history
            split = make(Events(store).interactions(space), history=length)
        return evaluate_next_items(
            split, recommenders, repeats=repeats, k=k, divisions=divisions, on_progress=on_progress
        )

    def write_recommend_page(
        self, path: str | os.PathLike[str], reports: Sequence[ProtocolReport | NextItemReport]
    ) -> None:
        """Write the reports of `recommend` and `next_items` as an HTML page; OSError: it cannot be written."""
        from firstsight.recommend.evaluation.recommender_page import write_recommender_page

        write_recommender_page(Path(path), reports, self._connection.uri)

    def slates(
        self,
        other: SlateOptions | None = None,
        *,
        ranking: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        experiment: str | None = None,
        buckets: tuple[int, int] | None = None,
        columns: Sequence[str] | None = None,
        event: str | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> SlateEvaluation:
        """Estimate from logged slates what the ranking that made them earns, and what another one would.

        A reward is an event of the slate's user on the item within a day of the slate; values are responses per slate.

        Args:
            other: settings of another ranking, which replace those of each logged slate: diversity, merge, floors, …;
                explore is 0 by default. None evaluates only the log and its ranking.
            ranking: a version of the fitted rankings that another ranking has instead of that of the log.
            since, until: only slates from this moment on, and before this one; with a time zone.
            experiment: only slates of this experiment.
            buckets: first and last A/B bucket, 0 to 99, both included.
            columns: columns for the exposure of groups of items; `seller` by default, if the catalogue has it.
            event: count only events of this type, such as purchase.
            on_progress: called with one line before each step.

        Returns:
            Estimates by IPS, SNIPS and the doubly robust estimator with 95 % intervals, and the exposure of groups.

        Raises:
            QueryError: there are no slates to evaluate, a setting is out of range or has the wrong name, or there is no
                such column.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.off_policy.slate_evaluation import evaluate_slates
        from firstsight.recommend.off_policy.slate_records import SlateFilter

        return evaluate_slates(
            self._connection.open(),
            which=SlateFilter(since, until, experiment, buckets),
            other=None if other is None else dict(other),
            ranking_version=ranking,
            columns=columns,
            event=event,
            on_progress=on_progress,
        )

    def links(self, file: str | os.PathLike[str], *, column: str | None = None, k: int = 10) -> LinkEvaluation:
        """Measure how many of the items that people have linked are among the nearest items, for each kind of link.

        Args:
            file: a file of links, see `firstsight.recommend.evaluation.item_links.read_links`.
            column: catalogue column with the linked values; None for item ids.
            k: depth of the measures.

        Returns:
            A report for each kind of link, and the number of links that were left out.

        Raises:
            CatalogError: the file cannot be used.
            QueryError: there is no such column, or k is below 1.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.evaluation.item_links import read_links
        from firstsight.recommend.evaluation.link_evaluation import LinkEvaluation, evaluate_links
        from firstsight.recommend.items import ItemSpace

        store = self._connection.open()
        space = ItemSpace.load(store)
        links = read_links(os.fspath(file), store, space, column=column)
        return LinkEvaluation(tuple(evaluate_links(space, links, k=k)), links.rows, links.unknown)

    def robustness(
        self,
        settings: RobustnessSettings | None = None,
        *,
        catalogue: CatalogueInput | None = None,
        options: CatalogOptions | None = None,
        encoder: Encoder | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
        on_encoded: Callable[[int, int], None] = lambda done, total: None,
    ) -> RobustnessReport:
        """Measure the recall that remains under corrupted pictures, typos and paraphrases; nothing is written.

        Args:
            settings: corruptions, strengths, sample size, slices; the defaults if None.
            catalogue, options: a catalogue to sample instead of the database, as for `index`; no database is needed.
            encoder: the encoder; by default the database's, and `starter` without a database. With another one than the
                database's, the index is the intact pictures of the sample.
            on_progress: called with the number of encodings before the first one, and with the name of each step.
            on_encoded: called with the number of encoded pictures, and the number to encode.

        Raises:
            QueryError: no picture can be opened, or a column or a file of the settings cannot be used.
            CatalogError, EncoderError, MissingDatabaseError: the catalogue, encoder or database cannot be used.
        """
        from firstsight.api.robustness import evaluate_robustness

        read = (catalogue, options)
        return evaluate_robustness(self._connection, settings, *read, encoder, on_progress, on_encoded)

    def write_robustness_page(self, path: str | os.PathLike[str], report: RobustnessReport) -> None:
        """Write a report of `robustness` as an HTML page. OSError: it cannot be written."""
        from firstsight.retrieval.evaluation.robustness.robustness_page import write_robustness_page

        write_robustness_page(Path(path), report)

    def space_map(
        self,
        *,
        color_by: str | None = None,
        sample: int = 10_000,
        method: Method = "tsne",
        seed: int = 0,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> SpaceMap:
        """Place the items on a plane by their vectors, similar items close together.

        Args:
            color_by: column or fact of the initial colouring; None: guess it.
            sample: maximum number of points, 1 to 50,000. The sample depends on `seed` and the item ids.
            method: "pca": fast and coarse; "tsne" (van der Maaten and Hinton 2008), after PCA to 50 dimensions; "umap"
                (McInnes et al. 2018), which needs umap-learn.
            seed: random seed of the sample and the projection.
            on_progress: called with a description of each step.

        Raises:
            QueryError: no item has a vector, the column does not exist, the sample is out of range, or the method is
                unknown.
            MissingDatabaseError: there is no database.
            OptionalDependencyError: the method is "umap" and umap-learn is not installed.
        """
        from firstsight.retrieval.pages.space_map import space_map

        return space_map(
            self._connection.open(),
            color_by=color_by,
            sample=sample,
            method=method,
            seed=seed,
            on_progress=on_progress,
        )

    def write_space_map(
        self, path: str | os.PathLike[str], space_map: SpaceMap, *, max_picture_bytes: int = 16 * 2**20
    ) -> int:
        """Write a map as an HTML page with pictures on hover, which needs no server.

        Args:
            path: of the page; an existing file is replaced.
            space_map: a map of this database.
            max_picture_bytes: maximum size of all pictures on the page; 0 for no pictures.

        Returns:
            The number of points with a picture.

        Raises:
            OSError: the page cannot be written.
        """
        from firstsight.retrieval.pages.space_map_page import write_space_map

        connection = self._connection
        return write_space_map(
            Path(path), space_map, connection.uri, policy=connection.policy, max_picture_bytes=max_picture_bytes
        )


def _stored_ids(store: Store, item_ids: Sequence[str]) -> set[str]:
    return set(store.item_rows(item_ids))
