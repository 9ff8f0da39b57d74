"""Fit of a ranking to a log of events, with the comparison that decides whether it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.evaluation import measures
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.blend_selection import check_enough_events, choose_settings
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.recommend.ranking.held_out_events import hold_out
from firstsight.recommend.ranking.item_content import ItemContent, read_prices
from firstsight.recommend.ranking.ranking_weights import RankingWeights, TermWeight
from firstsight.recommend.ranking.terms import ScoreTerms, TermModels
from firstsight.recommend.ranking.unfitted_ranking import unfitted_weights
from firstsight.recommend.ranking.weight_fitting import WeightFit, fit_cold_weights
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.recommender import NextItem, Recommender
from firstsight.storage.store import Store

K = 10
MAX_EVENTS = 300_000
"""Maximum number of events that weights are fitted to, of drawn users; models are fitted to all events."""

_BATCH = 128


@dataclass(frozen=True)
class RankingFit:
    """A fitted ranking.

    Attributes:
        weights: of the terms, fitted to all held-out events.
        models: behind the terms, fitted to all events.
        words: of the catalogue's texts.
        figures: see `RankingVersion`.
    """

    weights: RankingWeights
    models: TermModels
    words: WordSpace
    figures: Mapping[str, float]


def fit_to_log(
    store: Store,
    space: ItemSpace,
    events: Interactions,
    *,
    fit_sequence: Callable[[Interactions], Recommender] | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
    seed: int = 0,
) -> RankingFit:
    """Fit weights to held-out next events, compare them, and fit the models to all events.

    The weights that are compared are fitted to the held-out events of half of the users; those of the other half
    decide. The weights that are returned are fitted to all of them.

    Args:
        store: the database, for texts and prices.
        space: its items.
        events: the events on them.
        fit_sequence: fits a model of the order of events; None for no such term.
        on_progress: called with the name of each step.
        seed: of everything that is drawn.

    Raises:
        QueryError: there are too few events.
        OptionalDependencyError: implicit is not installed.
    """
    began = time.perf_counter()
    check_enough_events(events)
    on_progress("reading titles and texts")
    texts = read_texts(store, space)
    words = WordSpace.fit(texts)
    content = ItemContent(space, words.transform(texts), read_prices(store, space))
    drawn = _draw_users(events, seed)
    on_progress(f"choosing the settings of the blend on {len(drawn):,} events")
    settings = choose_settings(drawn, content_vectors(space, content.words)).settings
    held = hold_out(drawn, seed=seed)
    on_progress(f"fitting the models behind the terms to {len(held.train):,} events")
    sequence = None if fit_sequence is None else fit_sequence(held.train)
    terms = ScoreTerms(content, held.train, TermModels.fit(content, held.train, settings), sequence=sequence)
    on_progress(f"fitting the weights to {len(held.samples):,} next events")
    decides = np.random.default_rng(seed).permutation(len(drawn.user_ids))[held.users] % 2 == 1
    learning = [sample for sample, later in zip(held.samples, decides, strict=True) if not later]
    deciding = [sample for sample, later in zip(held.samples, decides, strict=True) if later]

    def fit_cold() -> dict[str, TermWeight]:
        return fit_cold_weights(content, held.train, settings, seed=seed)

    fit = WeightFit(terms, [*learning, *deciding], fit_cold, seed=seed)
    figures = {"events": float(len(events)), "samples": float(len(deciding))}
    if learning and deciding:
        half = WeightedTerms(terms, fit.fit(np.arange(len(learning))))
        before = WeightedTerms(terms, unfitted_weights(terms))
        figures |= compare(half, before, deciding)
    else:  # too few users to compare: never better
        figures |= dict.fromkeys(("hr", "ndcg", "hr_before", "ndcg_before", "gain", "low", "high"), 0.0)
    weights = fit.fit()
    on_progress(f"fitting the models to all {len(events):,} events")
    models = TermModels.fit(content, events, settings)
    return RankingFit(weights, models, words, figures | {"seconds": round(time.perf_counter() - began, 1)})


def read_content(store: Store, space: ItemSpace, words: WordSpace) -> ItemContent:
    """Read texts and prices of the items, and prepare them for terms."""
    return ItemContent(space, words.transform(read_texts(store, space)), read_prices(store, space))


def compare(ranking: WeightedTerms, before: WeightedTerms, samples: Sequence[NextItem]) -> dict[str, float]:
    """Hit rate and NDCG at 10 of two rankings, and the difference in NDCG with its 95 % interval."""
    hits, gains = _figures(ranking, samples)
    hits_before, gains_before = _figures(before, samples)
    gain = measures.difference(gains, gains_before)
    return {
        "hr": float(hits.mean()),
        "ndcg": float(gains.mean()),
        "hr_before": float(hits_before.mean()),
        "ndcg_before": float(gains_before.mean()),
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
    }


def _figures(ranking: WeightedTerms, samples: Sequence[NextItem]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(samples,) HR@10 and NDCG@10; items of the history are ranked like all others."""
    every = np.arange(len(ranking.terms.counts))
    hits, gains = [], []
    for start in range(0, len(samples), _BATCH):
        batch = samples[start : start + _BATCH]
        ranked = measures.rank(np.stack([ranking.score(sample.history) for sample in batch]), every, K)
        targets = [np.array([sample.item]) for sample in batch]
        hits.append(measures.recall(ranked, targets))
        gains.append(measures.ndcg(ranked, targets))
    return np.concatenate(hits), np.concatenate(gains)


def _draw_users(events: Interactions, seed: int) -> Interactions:
    if len(events) <= MAX_EVENTS:
        return events
    order = np.random.default_rng(seed).permutation(len(events.user_ids))
    counts = np.bincount(events.users, minlength=len(order))
    kept = np.zeros(len(order), dtype=bool)
    kept[order[np.cumsum(counts[order]) <= MAX_EVENTS]] = True
    return events.where(kept[events.users])
