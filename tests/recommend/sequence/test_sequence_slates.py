"""Slates follow a user's searches and the order of events through the term of the sequence model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.searches import Searches, SearchLog
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_weights import RankingWeights, TermWeight
from firstsight.recommend.ranking.terms import ScoreTerms
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_maker import SlateMaker
from tests.recommend.sequence.ordered_events import SMALL, random_space

NOW_US = 10_000_000


def test_a_slate_follows_a_search_across_kinds() -> None:
    """Users click what they searched for: products, videos and live streams in one history and one ranking."""
    vectors = random_space().vectors
    kinds = np.array([("product", "video", "live")[n % 3] for n in range(len(vectors))], dtype=object)
    space = ItemSpace.of([f"i{n:03d}" for n in range(len(vectors))], vectors, kinds=kinds)
    items = np.random.default_rng(0).integers(0, 12, 200)
    users = np.array([f"u{n:03d}" for n in range(200)], dtype=object)
    texts = np.array([f"query {item}" for item in items], dtype=object)
    log = Interactions.of(space, users, items, np.full(200, 5_000_000))
    log = replace(log, searches=SearchLog(np.arange(200), texts, np.full(200, 4_000_000), items))

    def read(queries: Sequence[str]) -> Vectors:
        return vectors[[int(text.split()[1]) for text in queries]]

    model = SequenceRecommender(space, vectors, replace(SMALL, epochs=25), read_queries=read, epochs=25)
    model.fit(log)
    weights = {"sequence": TermWeight(1.0), "popularity": TermWeight(0.1)}
    ranking = WeightedTerms(
        ScoreTerms(ItemContent(space), log, sequence=model), RankingWeights(warm=weights, cold=weights)
    )
    maker = SlateMaker(space, log, ranking=ranking)

    def first(query: str | None) -> int:
        history = log.history(0)
        if query is not None:
            now = Searches(np.array([query], dtype=object), np.array([NOW_US - 1]))
            history = History(history.items, history.times, history.weights, history.types, history.searches.merge(now))
        slots, _ = maker.slate(history, SlateSettings(k=3), now_us=NOW_US, rng=np.random.default_rng(0))
        return slots[0].place

    unseen = [int(item) for item in (3, 7, 8, 11) if item != items[0]][:3]
    assert [first(f"query {item}") for item in unseen] == unseen
    assert {space.kinds[item] for item in unseen} > {space.kinds[unseen[0]]}
