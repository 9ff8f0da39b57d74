"""Fit personal search to the clicks of searches: what nearness to a user's events counts beside the ranking score.

A conditional logit explains which of the first 100 results was clicked, by two standardised numbers of each result:
the score that ranked it, and its closeness to the events that the user had before the search. The quotient of the two
coefficients is the weight of the boost. Source: McFadden, "Conditional logit analysis of qualitative choice behavior",
1974. The newest clicks are held out; they decide whether the boost is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from firstsight.errors import FirstsightError, QueryError
from firstsight.recommend.evaluation.measures import cluster_bootstrap
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.personal_search.interest_boost import (
    BoostSettings,
    Interest,
    bounded_boosts,
    interest_cosines,
)
from firstsight.recommend.personal_search.personal_search_store import PersonalSearchVersion
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.ranking.standard_scores import standardised
from firstsight.storage.store import Store

MAX_SEARCHES = 2_000
"""Searches that the fit takes, the newest ones: each distinct text takes a search."""

MIN_SEARCHES = 100
"""Minimum number of usable searches: with fewer, an interval cannot lie above 0 for a plausible gain."""

HELD_OUT_SHARE = 0.4
"""Share of the usable searches that are held out, the newest ones."""

MAX_WEIGHT = 2.0
"""Largest weight of a boost: a user's interest must not replace the query."""

BOUNDS = (0.5, 1.0, 2.0)
"""Bounds of the boost to choose from, in standard deviations of the ranking score."""

DEPTH = 10
_INTERESTS: tuple[Interest, ...] = ("mean", "nearest")
_TEXTS_PER_CALL = 64
_PENALTY = 1e-3  # of large coefficients: a few clicks on the first result alone would give infinite ones

RankTexts = Callable[[Sequence[str]], Sequence[Sequence[Candidate] | FirstsightError]]
"""Gives the first candidates of a search without a user, for each text."""


@dataclass(frozen=True)
class ClickedSearch:
    """A search with a click on one of its candidates, by a user with earlier events.

    Attributes:
        user: a number for the user.
        time_us: of the search.
        scores: (n,) standardised ranking scores, in the order of the ranking.
        closeness: (n,) cosines to the user's events by kind of interest; NaN for an item without a vector.
        clicked: index of the clicked candidate.
    """

    user: int
    time_us: int
    scores: NDArray[np.float64]
    closeness: dict[Interest, NDArray[np.float64]]
    clicked: int

    @cached_property
    def standard_closeness(self) -> dict[Interest, NDArray[np.float64]]:
        """Closeness, standardised; 0 for an item without a vector."""
        return {name: bounded_boosts(values, 1.0, np.inf) for name, values in self.closeness.items()}

    def rank(self, settings: BoostSettings) -> int:
        """Place of the clicked candidate with a boost, from 1."""
        boosts = bounded_boosts(self.closeness[settings.interest], settings.weight, settings.bound)
        totals = self.scores + boosts
        earlier = totals[: self.clicked] >= totals[self.clicked]
        return 1 + int(earlier.sum() + (totals[self.clicked + 1 :] > totals[self.clicked]).sum())


def fit_personal_search(
    store: Store,
    space: ItemSpace,
    interactions: Interactions,
    rank_texts: RankTexts,
    *,
    on_progress: Callable[[str], None] = lambda step: None,
) -> PersonalSearchVersion:
    """Fit a version to the newest clicks of searches, and measure it on the newest of these.

    Args:
        store: the database.
        space: its items.
        interactions: events on them, with searches.
        rank_texts: searches for texts.
        on_progress: called with the name of each step.

    Returns:
        The version, with number 0 and not stored yet.

    Raises:
        QueryError: there are too few clicks of searches.
        FirstsightError: a search fails.
    """
    log = interactions.searches
    clicked = np.flatnonzero(log.clicked >= 0)
    clicked = np.sort(clicked[np.argsort(-log.times[clicked], kind="stable")[:MAX_SEARCHES]])
    texts = list(dict.fromkeys(str(text) for text in log.texts[clicked]))
    on_progress(f"searching for {len(texts):,} texts")
    candidates: dict[str, Sequence[Candidate]] = {}
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        part = texts[start : start + _TEXTS_PER_CALL]
        for text, answer in zip(part, rank_texts(part), strict=True):
            if isinstance(answer, FirstsightError):
                raise answer
            candidates[text] = answer
    searches, asked = _collect(space, interactions, clicked, candidates)
    if len(searches) < MIN_SEARCHES:
        raise QueryError(
            f"{len(searches):,} searches are usable, and {MIN_SEARCHES} are needed: searches with a click on one of "
            "the first 100 results, by users with earlier events. Add logs with searches: firstsight events add FILE"
        )
    on_progress(f"fitting to {len(searches):,} searches")
    return _fit(store, searches, len(searches) / asked)


def _collect(
    space: ItemSpace,
    interactions: Interactions,
    rows: NDArray[np.int64],
    candidates: dict[str, Sequence[Candidate]],
) -> tuple[list[ClickedSearch], int]:
    """Usable searches in the order of time, and the number of clicked searches by users with earlier events."""
    log, asked = interactions.searches, 0
    found = []
    for row in rows.tolist():
        time_us = int(log.times[row])
        history = interactions.history(int(log.users[row])).before(time_us)
        if not len(history):
            continue
        asked += 1
        ranking = candidates[str(log.texts[row])]
        ids = [candidate.item_id for candidate in ranking]
        target = str(space.item_ids[log.clicked[row]])
        if target not in ids:
            continue
        places = space.places(ids)
        closeness = {name: interest_cosines(space, history, places, name) for name in _INTERESTS}
        scores = standardised([candidate.value for candidate in ranking])
        found.append(ClickedSearch(int(log.users[row]), time_us, scores, closeness, ids.index(target)))
    return sorted(found, key=lambda search: search.time_us), asked


def _fit(store: Store, searches: list[ClickedSearch], found: float) -> PersonalSearchVersion:
    held_out = round(HELD_OUT_SHARE * len(searches))
    earlier, later = searches[:-held_out], searches[-held_out:]
    choices = [
        BoostSettings(interest, fit_weight(earlier, interest), bound) for interest in _INTERESTS for bound in BOUNDS
    ]
    # the smallest bound of equally good ones
    chosen = max(choices, key=lambda settings: (_mean(_reciprocal_ranks(earlier, settings)), -settings.bound))
    before, after = _reciprocal_ranks(later, BoostSettings()), _reciprocal_ranks(later, chosen)
    users = np.unique([search.user for search in later], return_inverse=True)[1]
    gains: NDArray[np.float64] = np.asarray(np.bincount(users, weights=after - before), dtype=np.float64)
    counts: NDArray[np.float64] = np.bincount(users).astype(np.float64)
    low, high = np.quantile(cluster_bootstrap(gains[:, None], counts[:, None])[:, 0], [0.025, 0.975])
    figures = {
        "searches": len(searches),
        "found": found,
        "users": len({search.user for search in searches}),
        "held_out": len(later),
        "mrr_before": _mean(before),
        "mrr_after": _mean(after),
        "gain_low": float(low),
        "gain_high": float(high),
        "ndcg_before": _mean(_ndcg(before)),
        "ndcg_after": _mean(_ndcg(after)),
    }
    final = replace(chosen, weight=fit_weight(searches, chosen.interest))
    return PersonalSearchVersion(0, datetime.now(UTC), False, store.spec.fingerprint, final, figures)


def fit_weight(searches: Sequence[ClickedSearch], interest: Interest) -> float:
    """Weight of a boost by the conditional logit of clicks: 0 to `MAX_WEIGHT`."""
    width = max(len(search.scores) for search in searches)
    features = np.zeros((len(searches), width, 2))
    absent = np.ones((len(searches), width), dtype=bool)
    for row, search in enumerate(searches):
        n = len(search.scores)
        features[row, :n, 0], features[row, :n, 1] = search.scores, search.standard_closeness[interest]
        absent[row, :n] = False
    clicked = features[np.arange(len(searches)), [search.clicked for search in searches]]

    def loss(coefficients: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        utilities = features @ coefficients
        utilities[absent] = -np.inf
        top = utilities.max(axis=1, keepdims=True)
        shares = np.exp(utilities - top)
        total = shares.sum(axis=1, keepdims=True)
        value = float((top[:, 0] + np.log(total[:, 0]) - clicked @ coefficients).mean())
        expected = np.einsum("sn,snf->sf", shares / total, features)
        slope = (expected - clicked).mean(axis=0)
        return value + _PENALTY * float(coefficients @ coefficients), slope + 2 * _PENALTY * coefficients

    score, closeness = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return float(np.clip(closeness / max(float(score), 1e-6), 0.0, MAX_WEIGHT))


def _reciprocal_ranks(searches: Sequence[ClickedSearch], settings: BoostSettings) -> NDArray[np.float64]:
    return 1 / np.array([search.rank(settings) for search in searches], dtype=np.float64)


def _ndcg(reciprocal_ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """NDCG at 10 with one relevant item, from its reciprocal rank."""
    ranks = 1 / reciprocal_ranks
    return np.where(ranks <= DEPTH, 1 / np.log2(ranks + 1), 0.0)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())
