"""The ranking before weights were fitted: fixed weights that suit two logs of different kinds, docs/recommend.md."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_weights import COLD_PRIOR, RankingWeights, TermWeight
from firstsight.recommend.ranking.terms import ScoreTerms, TermModels
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.recommender import Recommender

_CONTENT = {
    "greatest cosine": TermWeight(0.07),
    "last cosine": TermWeight(0.07),
    "mean cosine": TermWeight(0.05, 0.05),
}
_SEQUENCE = TermWeight(1.0)  # its scores are log odds; on validation samples, 1 to 4 find the same
_WARM = {
    **_CONTENT,
    "neighbours": TermWeight(0.9, 0.3),
    "last neighbours": TermWeight(0.0, 0.6),
    "popularity": TermWeight(0.65, -0.8),
    "recent popularity": TermWeight(0.2, 0.2),
    "seen": TermWeight(-3.0),
    "sequence": _SEQUENCE,
}
_COLD = {**_CONTENT, "factors": TermWeight(0.0, 1.0), "sequence": _SEQUENCE}
_WITHOUT_EVENTS = {
    "greatest cosine": TermWeight(1.0),
    "mean cosine": TermWeight(0.5),
    "newness": TermWeight(0.1, -0.1),
}

COLD_POPULARITY = 0.5
"""Popularity of a cold item where no events tell, as a share of that of the mean item with events."""


def unfitted_ranking(
    content: ItemContent,
    events: Interactions | None = None,
    *,
    blend: Blend | None = None,
    sequence: Recommender | None = None,
) -> WeightedTerms:
    """Rank with fixed weights: content, neighbours and popularity; without events, newness instead of popularity.

    Args:
        content: of the items; its words do not count.
        events: of all users.
        blend: a fitted blend, whose factors rank cold items.
        sequence: a fitted model of the order of events.
    """
    space = content.space
    known = Interactions.none(space) if events is None else events
    models = None
    if blend is not None:
        own = known.popularity() > 0
        models = TermModels(blend.factors, own, blend.settings)
    terms = ScoreTerms(content, known, models, sequence=sequence)
    return WeightedTerms(terms, unfitted_weights(terms))


def unfitted_weights(terms: ScoreTerms) -> RankingWeights:
    """Fixed weights of terms."""
    if not bool(np.any(terms.counts)):
        return RankingWeights({}, _WITHOUT_EVENTS)
    return RankingWeights(_WARM, {**_COLD, COLD_PRIOR: cold_prior(_WARM, terms.mean_popularity())})


def cold_prior(warm: Mapping[str, TermWeight], means: Mapping[str, float]) -> TermWeight:
    """The prior of cold items where no events tell: `COLD_POPULARITY` of what popularity adds to the mean item.

    Args:
        warm: weights of the terms.
        means: of the terms of popularity; see `ScoreTerms.mean_popularity`.
    """
    known = [(warm[name], COLD_POPULARITY * mean) for name, mean in means.items() if name in warm]
    return TermWeight(
        sum(weight.base * mean for weight, mean in known), sum(weight.by_share * mean for weight, mean in known)
    )
