"""Explanations of a ranking: what each term adds to the score of an item for a user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import Places
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.records import Record, RecordList


@dataclass(frozen=True)
class TermContribution(Record):
    """Contribution of one term to a score.

    Attributes:
        term: its name, see docs/recommend.md.
        value: of the term for the user and the item.
        contribution: value times weight, in log odds of the next event.
    """

    term: str
    value: float
    contribution: float

    @property
    def weight(self) -> float:
        """Weight of the term for this user and item; 0 if the value is 0."""
        return self.contribution / self.value if self.value else 0.0


@dataclass(frozen=True)
class ItemExplanation(Record):
    """Why an item has its place in a user's ranking.

    Attributes:
        item_id: of the item.
        title: of the item.
        place: in the ranking of the items that may be shown, 1 for the first, before quotas, caps and exploration.
        score: sum of the contributions, up to a constant that all items of the user share.
        new: whether the item has no events, so that the weights of new items count.
        terms: the terms that add or take something, the largest contribution first.
    """

    item_id: str
    title: str | None
    place: int
    score: float
    new: bool
    terms: tuple[TermContribution, ...]

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON fields."""
        terms = [
            {"term": one.term} | {name: round(getattr(one, name), 6) for name in ("value", "weight", "contribution")}
            for one in self.terms
        ]
        head = {name: getattr(self, name) for name in ("item_id", "title", "place", "new")}
        return head | {"score": round(self.score, 6), "terms": terms}


@dataclass(frozen=True)
class RankingExplanation(RecordList[ItemExplanation]):
    """Explanations of items for one user.

    Attributes:
        items: the explanations, in the order of the ranking.
        user: id of the user.
        events: number of the user's events on items of the index.
        version: of the ranking; None for the ranking without fitted weights.
    """

    items: tuple[ItemExplanation, ...]
    user: str
    events: int
    version: int | None


def explain_items(
    ranking: WeightedTerms,
    history: History,
    places: Places | None,
    *,
    showable: NDArray[np.bool_],
    k: int,
    read_titles: Callable[[Places], list[str | None]],
) -> tuple[ItemExplanation, ...]:
    """Explain items of a user's ranking.

    Args:
        ranking: terms and weights.
        history: of the user.
        places: rows of the items; None for the first k that may be shown.
        showable: (n,) the items that may be shown.
        k: number of items, without `places`.
        read_titles: reads the titles of rows.
    """
    contributions = ranking.contributions(history)
    scores = contributions.sum(axis=0)
    if places is None:
        shown = np.flatnonzero(showable)
        places = shown[np.argsort(-scores[shown], kind="stable")[:k]]
    values = dict(zip(ranking.terms.names, ranking.terms.values(history)[:, places], strict=True))
    explained = []
    for column, (place, title) in enumerate(zip(places.tolist(), read_titles(places), strict=True)):
        terms = [
            TermContribution(name, float(values[name][column]), float(contributions[row, place]))
            for row, name in enumerate(ranking.names)
        ]
        explained.append(
            ItemExplanation(
                item_id=str(ranking.terms.content.space.item_ids[place]),
                title=title,
                place=int((scores[showable] > scores[place]).sum()) + 1,
                score=float(scores[place]),
                new=bool(ranking.terms.cold[place]),
                terms=tuple(sorted((one for one in terms if one.contribution), key=lambda one: -abs(one.contribution))),
            )
        )
    return tuple(sorted(explained, key=lambda item: item.place))
