"""Named score terms of every item for one user: the inputs that a ranking weighs and adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.event_types import type_code
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.cold_factors import add_cold_factors
from firstsight.recommend.models.collaborative import Factors, fit_factors
from firstsight.recommend.models.neighbours import ItemNeighbours
from firstsight.recommend.models.text_vectors import content_vectors
from firstsight.recommend.ranking.item_content import LAST_EVENTS, ItemContent
from firstsight.recommend.ranking.item_weights import ItemWeights
from firstsight.recommend.ranking.ranking_weights import COLD_PRIOR
from firstsight.recommend.recommender import Recommender

CONTENT_TERMS = (
    "greatest cosine",
    "last cosine",
    "mean cosine",
    "greatest words",
    "last words",
    "mean words",
    "blend",
    "factors",
)
"""Terms that tell cold items apart: cosines with the history, and collaborative factors mapped from content."""

EVENT_TERMS = ("neighbours", "last neighbours", "EASE")
"""Terms from the events of other users, 0 for a cold item."""

POPULARITY_TERMS = ("popularity", "recent popularity", "newness", COLD_PRIOR)
"""Terms that are the same for everybody."""

HISTORY_TERMS = ("seen", "seen last", "bought", "price distance", "sequence")

KIND_PREFIX = "kind "
"""Begin of the name of an intercept, such as "kind video"; there are none in a space of one kind."""

_NEIGHBOUR_FLOOR = 0.01  # damped cosines below it hardly differ: log(x + floor) - log(floor)
_MIN_GROUP = 30  # cold items, or warm ones: fewer are standardised with the others
_RECENT_SHARE = 0.1  # of the events: after so many newer ones, an event counts half
_BOUGHT = (type_code("purchase"), type_code("gift"))


@dataclass(frozen=True)
class TermModels:
    """The models behind terms, fitted on one set of events.

    Attributes:
        factors: of every item; those of items without factors of their own are mapped from content.
        own: (n,) whether an item has factors of its own.
        settings: of the mapping of factors, and of the blend.
        weights: of EASE; None for no such term.
    """

    factors: Factors
    own: NDArray[np.bool_]
    settings: BlendSettings
    weights: ItemWeights | None = None

    @classmethod
    def fit(
        cls, content: ItemContent, train: Interactions, settings: BlendSettings, *, item_weights: bool = True
    ) -> TermModels:
        """Fit to events.

        Args:
            content: of the items.
            train: the events.
            settings: of the factors and the blend.
            item_weights: fit EASE, too.

        Raises:
            QueryError: there are no events.
            OptionalDependencyError: implicit is not installed.
        """
        factors = fit_factors(train, alpha=settings.alpha)
        own = np.abs(factors.items).max(axis=1) > 0
        weights = ItemWeights.fit(train) if item_weights else None
        return cls(map_factors(content, factors, own, settings), own, settings, weights)


def map_factors(content: ItemContent, factors: Factors, own: NDArray[np.bool_], settings: BlendSettings) -> Factors:
    """Map factors to the items without their own."""
    words = content.words if content.word_scale is not None else None
    vectors = content_vectors(content.space, words)
    return add_cold_factors(factors, vectors, own, settings.mapping, ridge=settings.ridge)


class ScoreTerms:
    """Values of all terms for one user and every item. It only reads, so threads may share it."""

    def __init__(
        self,
        content: ItemContent,
        events: Interactions,
        models: TermModels | None = None,
        *,
        sequence: Recommender | None = None,
    ) -> None:
        """
        Args:
            content: of the items.
            events: for popularity and neighbours; items without an event here are cold.
            models: fitted on these events, or on earlier ones; without them there are no terms of models.
            sequence: a fitted model of the order of events.
        """
        self.content, self.models, self.sequence = content, models, sequence
        n = len(content.space)
        self.counts = events.popularity()
        self.cold: NDArray[np.bool_] = self.counts == 0
        groups = [np.flatnonzero(self.cold), np.flatnonzero(~self.cold)]
        few = min(map(len, groups)) < _MIN_GROUP
        self._groups = [np.arange(n)] if few else groups
        self._neighbours = ItemNeighbours(events) if len(events) else None
        self._general = {
            "popularity": np.log1p(events.strengths().sum(axis=0)).astype(np.float32),
            "recent popularity": _recent_popularity(events),
            "newness": content.newness,
            COLD_PRIOR: self.cold.astype(np.float32),
        }
        kinds = content.kinds
        if len(kinds.names) > 1:
            for code, kind in enumerate(kinds.names):
                self._general[f"{KIND_PREFIX}{kind}"] = (kinds.codes == code).astype(np.float32)
        self._every = np.arange(n)
        names = [*CONTENT_TERMS, *EVENT_TERMS, *self._general, *HISTORY_TERMS]
        missing = {"sequence"} if sequence is None else set()
        if content.log_prices is None:
            missing.add("price distance")
        if content.word_scale is None:
            missing |= {"greatest words", "last words", "mean words"}
        if not len(events):
            missing |= {*EVENT_TERMS, "popularity", "recent popularity"}
        if not (content.newness != 0).any():
            missing.add("newness")
        if models is None:
            missing |= {"factors", "blend"}
        if models is None or models.weights is None:
            missing.add("EASE")
        self.names: tuple[str, ...] = tuple(name for name in names if name not in missing)

    def values(self, history: History) -> NDArray[np.float32]:
        """(terms, n) values of the terms in `names` for one user."""
        found = dict(self._general)
        if self.models is not None:
            found["factors"] = _standardise(self.models.factors.scores([history], self._every)[0], self._groups)
        if len(history):
            self._add_cosines(history, found)
            if self._neighbours is not None:
                found["neighbours"] = _log_neighbours(self._neighbours.score(history))
                found["last neighbours"] = _log_neighbours(self._neighbours.score(history.last(1)))
            if self.models is not None and self.models.weights is not None:
                found["EASE"] = self.models.weights.score(history)
            found["price distance"] = self.content.price_distance(history)
            self._add_seen(history, found)
        if self.sequence is not None:
            found["sequence"] = self.sequence.scores([history], self._every)[0]
        out = np.zeros((len(self.names), len(self._every)), dtype=np.float32)
        for row, name in zip(out, self.names, strict=True):
            if name in found:
                row[:] = found[name]
        return out

    def mean_popularity(self) -> dict[str, float]:
        """Means of the terms of popularity over the items with events."""
        warm = ~self.cold
        names = ("popularity", "recent popularity")
        return {name: float(self._general[name][warm].mean()) if warm.any() else 0.0 for name in names}

    def _add_cosines(self, history: History, found: dict[str, NDArray[np.float32]]) -> None:
        content = self.content
        each, last, mean = content.vector_scale.raw(history)
        scale = content.vector_scale
        greatest = each.max(axis=0) if len(each) else np.zeros_like(last)
        found |= {
            "greatest cosine": scale.centre(greatest),
            "last cosine": scale.centre(last),
            "mean cosine": scale.centre(mean),
        }
        joint = greatest
        if content.word_scale is not None:
            words, last, mean = content.word_scale.raw(history)
            scale = content.word_scale
            greatest = words.max(axis=0) if len(words) else np.zeros_like(last)
            found |= {
                "greatest words": scale.centre(greatest),
                "last words": scale.centre(last),
                "mean words": scale.centre(mean),
            }
            joint = self._joint(history, each, words) if self.models is not None else joint
        if self.models is not None:
            weight = self.models.settings.weight
            found["blend"] = weight * found["factors"] + (1 - weight) * _standardise(joint, self._groups)

    def _joint(self, history: History, each: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) greatest cosine of the joined vectors and words, from the cosines of both: no third product."""
        content = self.content
        recent = history.items[-LAST_EVENTS:]
        places = np.unique(recent)
        own_words = content.word_scale.known if content.word_scale is not None else np.zeros(0, dtype=bool)
        known, worded = content.vector_scale.known[places], own_words[places]
        if known.all() and worded.all():
            joint = each + words
        else:
            joint = np.zeros((len(places), len(self._every)), dtype=np.float32)
            joint[known] += each
            joint[worded] += words
        joint *= content.joint_norm[places][:, None]
        return np.asarray(joint.max(axis=0) * content.joint_norm)

    def _add_seen(self, history: History, found: dict[str, NDArray[np.float32]]) -> None:
        for name, places in (
            ("seen", history.items),
            ("seen last", history.items[-1:]),
            ("bought", history.items[np.isin(history.types, _BOUGHT)]),
        ):
            found[name] = np.zeros(len(self._every), dtype=np.float32)
            found[name][places] = 1


def is_general(name: str) -> bool:
    """Whether a term is the same for everybody."""
    return name in POPULARITY_TERMS or name.startswith(KIND_PREFIX)


def _log_neighbours(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.log1p(scores / np.float32(_NEIGHBOUR_FLOOR)), dtype=np.float32)


def _recent_popularity(events: Interactions) -> NDArray[np.float32]:
    """(n,) log of 1 + the number of events of an item, each halved by age, in numbers of newer events."""
    order = np.argsort(np.argsort(events.times, kind="stable"), kind="stable")
    newer = (len(events) - 1 - order) / max(_RECENT_SHARE * len(events), 1.0)
    return np.log1p(np.bincount(events.items, weights=0.5**newer, minlength=len(events.space))).astype(np.float32)


def _standardise(values: NDArray[np.float32], groups: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Standardise within groups of items: mapped factors vary less than those of items with events."""
    out = np.zeros(len(values), dtype=np.float32)
    for group in groups:
        part = values[group]
        spread = float(part.std())
        if spread > 1e-9:
            out[group] = (part - part.mean()) / spread
    return out
