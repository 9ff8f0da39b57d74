"""Weights fitted to next events: warm and cold items share them, and the prior of cold items follows the events."""

from __future__ import annotations

import numpy as np

from firstsight.recommend.events.interactions import History
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.ranking.fitted_ranking import FittedRanking
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_weights import COLD_PRIOR, TermWeight
from firstsight.recommend.ranking.terms import ScoreTerms
from firstsight.recommend.ranking.unfitted_ranking import cold_prior
from firstsight.recommend.ranking.weight_fitting import MIN_COLD_EVENTS, WeightFit
from firstsight.recommend.recommender import NextItem
from tests.recommend.synthetic_events import clustered_space, make_preference_log

SPACE = clustered_space(120)
ALL = make_preference_log(SPACE, 60, events=8)
LOG = ALL.where(ALL.items >= 40)  # items 0 to 39 are cold


def _samples(cold: int, warm: int) -> list[NextItem]:
    """Samples of next items that are drawn by the nearness to the history."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(cold + warm):
        known = np.arange(40) if number < cold else np.arange(40, 120)
        last = int(rng.integers(40, 120))
        utility = 6 * (SPACE.vectors[known] @ SPACE.vectors[last]) + rng.gumbel(size=len(known))
        samples.append(NextItem(History.of(np.array([int(rng.integers(40, 120)), last])), int(known[utility.argmax()])))
    return samples


def _unused() -> dict[str, TermWeight]:
    raise AssertionError("enough events are on cold items")


def test_cold_items_share_the_weights_of_content_and_get_a_prior_from_their_events() -> None:
    terms = ScoreTerms(ItemContent(SPACE), LOG)
    weights = WeightFit(terms, _samples(cold=100, warm=100), _unused).fit()
    assert COLD_PRIOR not in weights.warm
    assert all(weights.cold[name] == weight for name, weight in weights.warm.items())
    fewer = WeightFit(terms, _samples(cold=30, warm=170), _unused).fit()
    assert weights.cold[COLD_PRIOR].at(2) > fewer.cold[COLD_PRIOR].at(2) + 1


def test_with_few_events_on_cold_items_they_have_weights_of_their_own() -> None:
    terms = ScoreTerms(ItemContent(SPACE), LOG)
    fit = WeightFit(terms, _samples(cold=MIN_COLD_EVENTS - 1, warm=60), lambda: {"mean cosine": TermWeight(2.0)})
    weights = fit.fit()
    prior = cold_prior(weights.warm, terms.mean_popularity())
    assert weights.cold == {"mean cosine": TermWeight(2.0), COLD_PRIOR: prior}


def test_selection_puts_cold_items_where_validation_finds_them() -> None:
    model = FittedRanking(ItemContent(SPACE), lambda train: BlendSettings())
    model.fit(LOG)
    model.select(_samples(cold=120, warm=40))
    fresh = _samples(cold=150, warm=40)[120:150]
    first = np.argsort(-model.scores([sample.history for sample in fresh], np.arange(120)), axis=1)[:, :20]
    assert np.mean([sample.item in row for sample, row in zip(fresh, first, strict=True)]) > 0.6
