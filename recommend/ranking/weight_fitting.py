"""Fits the weights of a ranking to next events: first those of cold items, then their place among warm ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

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

NEAREST_ALTERNATIVES = 100
"""Number of alternatives of each choice that a rough ranking puts first; they decide most."""

DRAWN_ALTERNATIVES = 200
"""Number of other alternatives that are drawn; they stand for all other items."""

MAX_COLD_SAMPLES = 1_500

MIN_COLD_EVENTS = 20
"""Number of held-out events on cold items below which they say nothing about a prior: see `cold_prior`."""

_COLD_EVENTS_PER_USER = 3
_COLD_ALTERNATIVES = 600
_MIN_COLD_SCALE = 0.2
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
        cold: dict[str, TermWeight],
        *,
        seed: int = 0,
    ) -> None:
        """
        Args:
            terms: fitted on events before the samples.
            samples: at least one.
            cold: weights of cold items among themselves.
            seed: of the alternatives.
        """
        self._names, self._cold = terms.names, cold
        self._popularity = terms.mean_popularity()
        self._shares = np.array([personal_share(len(sample.history)) for sample in samples], dtype=np.float32)
        rng = np.random.default_rng(seed)
        n = len(terms.counts)
        size = min(n, NEAREST_ALTERNATIVES + DRAWN_ALTERNATIVES + 1)
        self._terms = np.zeros((len(samples), size, len(terms.names) + 1), dtype=np.float32)
        self._log_weights = np.zeros((len(samples), size), dtype=np.float32)
        self._is_cold = np.zeros((len(samples), size), dtype=bool)
        rough = np.array([_ROUGH.get(name, 0.0) for name in terms.names], dtype=np.float32)
        cold_rows = [row for row, name in enumerate(terms.names) if name in cold]
        for place, sample in enumerate(samples):
            values = terms.values(sample.history)
            picked, self._log_weights[place] = _alternatives(rough @ values, sample.item, rng)
            self._terms[place, :, :-1] = values[:, picked].T
            share = float(self._shares[place])
            weights = [cold[terms.names[row]].base + share * cold[terms.names[row]].by_share for row in cold_rows]
            self._terms[place, :, -1] = np.asarray(weights, dtype=np.float32) @ values[cold_rows][:, picked]

    def fit(self, rows: NDArray[np.int64] | None = None) -> RankingWeights:
        """Fit to some of the samples, by default to all.

        Args:
            rows: indices of samples, at least one.
        """
        kept = np.arange(len(self._terms)) if rows is None else rows
        names = [name for name in self._names if name != COLD_PRIOR]
        columns = [row for row, name in enumerate(self._names) if name != COLD_PRIOR]
        share = self._shares[kept, None, None]
        is_cold = self._is_cold[kept, :, None]
        terms = self._terms[kept]
        warm = terms[:, :, columns] * ~is_cold
        cold = np.concatenate([is_cold, terms[:, :, -1:] * is_cold], axis=2).astype(np.float32)
        sequence = [row for row, name in enumerate(self._names) if name == "sequence"]
        more = terms[:, :, sequence] * is_cold
        parts = [warm, warm * share, cold, cold[:, :, :1] * share, more, more * share]
        choices = Choices(np.concatenate(parts, axis=2), np.zeros(len(kept), dtype=np.int64), self._log_weights[kept])
        width = choices.terms.shape[2]
        centre = np.zeros(width)
        scale_column = 2 * len(names) + 1
        centre[scale_column] = 1.0
        with threadpool_limits(1, "blas"):
            weights = fit_conditional_logit(choices, centre=centre)
        warm_weights = {
            name: TermWeight(float(weights[k]), float(weights[len(names) + k])) for k, name in enumerate(names)
        }
        scale = max(_MIN_COLD_SCALE, float(weights[scale_column]))
        cold_weights = {
            name: TermWeight(scale * weight.base, scale * weight.by_share) for name, weight in self._cold.items()
        }
        cold_weights[COLD_PRIOR] = TermWeight(float(weights[scale_column - 1]), float(weights[scale_column + 1]))
        if self._is_cold[kept, 0].sum() < MIN_COLD_EVENTS:
            cold_weights[COLD_PRIOR] = cold_prior(warm_weights, self._popularity)
        if sequence:
            cold_weights["sequence"] = TermWeight(float(weights[-2]), float(weights[-1]))
        return RankingWeights(warm_weights, cold_weights)


def fit_weights(
    content: ItemContent, train: Interactions, terms: ScoreTerms, samples: Sequence[NextItem], *, seed: int = 0
) -> RankingWeights:
    """Fit the weights of warm and cold items to samples.

    Args:
        content: of the items.
        train: events that `terms` was fitted on.
        terms: of the items.
        samples: that `terms` has not seen, at least one.
        seed: of everything that is drawn.
    """
    settings = BlendSettings() if terms.models is None else terms.models.settings
    cold = fit_cold_weights(content, train, settings, seed=seed)
    return WeightFit(terms, samples, cold, seed=seed).fit()


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
