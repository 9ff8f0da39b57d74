"""Fits weights to next events; warm and cold items share them where enough of the events are on cold items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.protocols import item_cold
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.score_scaling import personal_share
from firstsight.recommend.ranking.conditional_logit import Choices, fit_conditional_logit
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_weights import COLD_PRIOR, RankingWeights, TermWeight
from firstsight.recommend.ranking.terms import EVENT_TERMS, ScoreTerms, TermModels
from firstsight.recommend.ranking.unfitted_ranking import cold_prior
from firstsight.recommend.recommender import NextItem
from firstsight.threads import single_threaded_blas

NEAREST_ALTERNATIVES = 100
"""Number of alternatives of each choice that a rough ranking puts first; they decide most."""

DRAWN_ALTERNATIVES = 200
"""Number of other alternatives that are drawn; they stand for all other items."""

MAX_COLD_SAMPLES = 1_500

MIN_COLD_EVENTS = 20
"""Number of held-out events on cold items below which they say nothing about the place of cold items."""

_COLD_EVENTS_PER_USER = 3
_COLD_ALTERNATIVES = 600
_COLD_SEED = 2_000  # other items than an evaluation with the same seed holds out

_ROUGH = {
    "greatest cosine": 0.2,
    "last cosine": 0.2,
    "greatest words": 0.2,
    "last words": 0.2,
    "neighbours": 0.5,
    "factors": 0.2,
    "blend": 0.2,
    "popularity": 0.7,
    COLD_PRIOR: 1.0,
}
_NOT_COLD = (*EVENT_TERMS, "popularity", "recent popularity", "seen", "seen last", "bought", "sequence", COLD_PRIOR)


def fit_cold_weights(
    content: ItemContent, train: Interactions, settings: BlendSettings, *, seed: int = 0
) -> dict[str, TermWeight]:
    """Fit weights that rank cold items among themselves: a fifth of the items loses its events, as in `item_cold`.

    Args:
        content: of the items.
        train: the events.
        settings: of the blend.
        seed: of the draw.

    Returns:
        Weights by term; a plain blend if the log is too small.
    """
    plain = {"blend": TermWeight(1.0)}
    try:
        split = item_cold(train, seed=_COLD_SEED + seed)
    except QueryError:  # no user has events on items of both parts
        return plain
    models = TermModels.fit(content, split.train, settings, item_weights=False)
    terms = ScoreTerms(content, split.train, models)
    rng = np.random.default_rng(seed)
    pairs = [
        (user, int(item))
        for user, targets in enumerate(split.targets)
        for item in rng.permutation(targets)[:_COLD_EVENTS_PER_USER]
    ]
    pairs = [pairs[n] for n in sorted(rng.permutation(len(pairs))[:MAX_COLD_SAMPLES])]
    rows = [row for row, name in enumerate(terms.names) if name not in _NOT_COLD]
    chosen_before = split.candidates[train.popularity()[split.candidates] > 0]  # nobody could choose the others
    alternatives = rng.permutation(chosen_before)[:_COLD_ALTERNATIVES]
    parts, chosen, last, values = [], [], -1, np.empty((0, 0), dtype=np.float32)
    for user, item in pairs:
        history = split.histories[user]
        if user != last:
            values, last = terms.values(history)[rows], user
        other = alternatives[alternatives != item][: len(alternatives) - 1]
        picked = values[:, np.append(other, item)].T
        parts.append(np.hstack([picked, picked * np.float32(personal_share(len(history)))]))
        chosen.append(len(other))
    choices = Choices(np.stack(parts), np.array(chosen), np.zeros((len(parts), len(parts[0])), dtype=np.float32))
    weights = fit_conditional_logit(choices)
    return {
        terms.names[row]: TermWeight(float(weights[k]), float(weights[len(rows) + k])) for k, row in enumerate(rows)
    }


class WeightFit:
    """Terms of held-out next events and their alternatives, extracted once for several fits."""

    def __init__(
        self,
        terms: ScoreTerms,
        samples: Sequence[NextItem],
        fit_cold: Callable[[], Mapping[str, TermWeight]],
        *,
        later: bool = False,
        seed: int = 0,
    ) -> None:
        """
        Args:
            terms: fitted on other events than the samples.
            samples: at least one.
            fit_cold: fits weights of cold items where the samples do not show them; see `fit_cold_weights`. It is
                called once at most.
            later: the samples came after the events, so they show what users choose of new items, if at least
                `MIN_COLD_EVENTS` have a cold item. The cold items of held-out users are merely rare.
            seed: of the alternatives.
        """
        self._fit_cold, self._later = cache(fit_cold), later
        self._names = terms.names
        self._popularity = terms.mean_popularity()
        self._shares = np.array([personal_share(len(sample.history)) for sample in samples], dtype=np.float32)
        self._cold_chosen = terms.cold[[sample.item for sample in samples]]
        terms.content.prepare()
        rng = np.random.default_rng(seed)
        size = min(len(terms.counts), NEAREST_ALTERNATIVES + DRAWN_ALTERNATIVES + 1)
        self._terms = np.zeros((len(samples), size, len(terms.names)), dtype=np.float32)
        self._log_weights = np.zeros((len(samples), size), dtype=np.float32)
        rough = np.array([_ROUGH.get(name, 0.0) for name in terms.names], dtype=np.float32)
        for place, sample in enumerate(samples):
            values = terms.values(sample.history)
            picked, self._log_weights[place] = _alternatives(rough @ values, sample.item, rng)
            self._terms[place] = values[:, picked].T

    def fit(self, rows: NDArray[np.int64] | None = None) -> RankingWeights:
        """Fit to some of the samples, by default to all.

        Args:
            rows: indices of samples, at least one.
        """
        kept = np.arange(len(self._terms)) if rows is None else rows
        terms = self._terms[kept]
        both = np.concatenate([terms, terms * self._shares[kept, None, None]], axis=2)
        choices = Choices(both, np.zeros(len(kept), dtype=np.int64), self._log_weights[kept])
        with single_threaded_blas():
            fitted = fit_conditional_logit(choices)
        width = len(self._names)
        weights = {name: TermWeight(float(fitted[k]), float(fitted[width + k])) for k, name in enumerate(self._names)}
        prior = weights.pop(COLD_PRIOR)
        if not self._later or self._cold_chosen[kept].sum() < MIN_COLD_EVENTS:
            return RankingWeights(weights, {**self._fit_cold(), COLD_PRIOR: cold_prior(weights, self._popularity)})
        return RankingWeights(weights, {**weights, COLD_PRIOR: prior})


def _alternatives(
    rough: NDArray[np.float32], chosen: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The chosen item, then its alternatives, and the log of how many items each one stands for."""
    n = len(rough)
    if n <= NEAREST_ALTERNATIVES + DRAWN_ALTERNATIVES + 1:
        return np.append(chosen, np.delete(np.arange(n), chosen)), np.zeros(n, dtype=np.float32)
    rough = rough.copy()
    rough[chosen] = -np.inf
    nearest = np.argpartition(-rough, NEAREST_ALTERNATIVES)[:NEAREST_ALTERNATIVES]
    rest = np.ones(n, dtype=bool)
    rest[nearest] = False
    rest[chosen] = False
    others = np.flatnonzero(rest)
    drawn = rng.choice(others, DRAWN_ALTERNATIVES, replace=False)
    log_weights = np.zeros(NEAREST_ALTERNATIVES + DRAWN_ALTERNATIVES + 1, dtype=np.float32)
    log_weights[NEAREST_ALTERNATIVES + 1 :] = np.log(len(others) / DRAWN_ALTERNATIVES)
    return np.concatenate([[chosen], nearest, drawn]), log_weights
