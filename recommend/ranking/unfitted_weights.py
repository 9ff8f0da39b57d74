"""Weights of a ranking before any were fitted: sensible on two logs of different kinds, see docs/recommend.md."""

from __future__ import annotations

from collections.abc import Sequence

from firstsight.recommend.ranking.ranking_weights import COLD_PRIOR, RankingWeights, TermWeight

_WARM = {
    "greatest cosine": TermWeight(0.15),
    "last cosine": TermWeight(0.1),
    "mean cosine": TermWeight(0.0, 0.25),
    "neighbours": TermWeight(0.4, 0.3),
    "popularity": TermWeight(1.0, -0.8),
    "recent popularity": TermWeight(0.2),
    "seen": TermWeight(-3.0),
}
_COLD = {
    "greatest cosine": TermWeight(0.15),
    "last cosine": TermWeight(0.1),
    "mean cosine": TermWeight(0.0, 0.25),
    "factors": TermWeight(0.0, 1.0),
    COLD_PRIOR: TermWeight(1.0),
}
_NEWEST = {"newness": TermWeight(1.0)}


def unfitted_weights(names: Sequence[str], *, any_events: bool = True) -> RankingWeights:
    """Weights of some terms.

    Args:
        names: of the terms that there are.
        any_events: False for a database without events: newness then decides for users without a history.
    """
    cold = _COLD if any_events else {name: weight for name, weight in _COLD.items() if name != COLD_PRIOR} | _NEWEST
    return RankingWeights(
        {name: weight for name, weight in _WARM.items() if name in names},
        {name: weight for name, weight in cold.items() if name in names},
    )
