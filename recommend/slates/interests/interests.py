"""Interests of a user: the last events, clusters of the whole history, and those of the sequence model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import DAY_US, History
from firstsight.recommend.items import ItemSpace, Places

InterestKind = Literal["recent", "lasting", "long_tail", "short_term", "long_term"]


@dataclass(frozen=True)
class Interest:
    """A direction of taste in the space of items.

    Attributes:
        kind: the recent events, a lasting cluster of the history, a long-tail cluster that recency would lose, or
            of the sequence model: what comes next (short_term), and the mean of the history in its space (long_term).
        vector: (dim,) float32, unit length: the mean of its items; of the sequence model (width,).
        medoid: row of the history's item that names the interest.
        members: (m,) distinct rows of its items.
        share: share of the slots for interests, 0 to 1; the shares of a user sum to 1.
        projected: whether the vector is in the sequence model's space of projected items.
    """

    kind: InterestKind
    vector: NDArray[np.float32]
    medoid: int
    members: Places
    share: float
    projected: bool = False


@dataclass(frozen=True)
class InterestSettings:
    """Settings that divide a history into interests."""

    recent_share: float = 0.6  # of slots; more than half, so that a slate follows a switch of interest
    recent_events: int = 10
    recent_half_life: float = 2.0  # events until the weight halves: three new ones outweigh all before them
    long_tail_share: float = 0.1
    max_long_tail: int = 2
    short_term_share: float = 0.2  # with a sequence model, taken from the recent share
    long_term_share: float = 0.1  # with a sequence model, taken from the lasting share
    cut: float = 1.1  # distance at which Ward's tree is cut; two items with cosine .4 are that far apart
    max_lasting: int = 12  # number of lasting interests, the most important ones
    decay_per_day: float = 0.01  # lambda of the importance
    clustered_events: int = 300  # newest distinct items that are clustered: the tree needs memory for their square


def recent_interest(space: ItemSpace, history: History, settings: InterestSettings) -> Interest | None:
    """The decayed mean of the last events; None if none of them has a vector.

    An event has its weight, halved for every `recent_half_life` events after it.
    """
    last = history.last(settings.recent_events)
    age = np.arange(len(last))[::-1]
    weights = last.weights * 0.5 ** (age / settings.recent_half_life)
    vectors = space.vectors[last.items]
    vector = unit(weights @ vectors)
    if vector is None:
        return None
    medoid = int(last.items[int(np.argmax(vectors @ vector))])
    return Interest("recent", vector, medoid, np.unique(last.items), settings.recent_share)


def lasting_interests(space: ItemSpace, history: History, now_us: int, settings: InterestSettings) -> list[Interest]:
    """Find Ward clusters of a history, the most important first; the medoid names each of them.

    Args:
        space: the items.
        history: of the user.
        now_us: microseconds since 1970; later events count as of that moment.
        settings: number and importance of clusters.

    Returns:
        At most `max_lasting` interests. Their shares sum to 1, in proportion to the importance: the sum of weight *
        exp(-lambda * days since) over a cluster's events. Empty if no item of the history has a vector.

    Source: Pal et al., "PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest", KDD 2020,
    sections 3.2 to 3.4. The paper searches by the medoid; in our measurements the mean found more.
    """
    days = np.maximum(now_us - history.times, 0) / DAY_US
    places, event_of = np.unique(history.items, return_inverse=True)
    importance = np.bincount(event_of, weights=history.weights * np.exp(-settings.decay_per_day * days))
    newest = np.zeros(len(places), dtype=np.int64)
    np.maximum.at(newest, event_of, np.arange(len(history)))
    kept = np.argsort(-newest)[: settings.clustered_events]
    kept = np.sort(kept[np.abs(space.vectors[places[kept]]).max(axis=1, initial=0) > 0])
    if not len(kept):
        return []
    places, importance = places[kept], importance[kept]
    labels = _ward(space.vectors[places], settings.cut)
    interests: list[Interest] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        medoid = medoid_of(space.vectors[places[members]])
        vector = unit(space.vectors[places[members]].sum(axis=0))
        if vector is not None:
            weight = float(importance[members].sum())
            interests.append(Interest("lasting", vector, int(places[members[medoid]]), places[members], weight))
    interests.sort(key=lambda interest: (-interest.share, interest.medoid))
    interests = interests[: settings.max_lasting]
    total = sum(interest.share for interest in interests)
    return [replace(interest, share=interest.share / total) for interest in interests]


def medoid_of(vectors: Vectors) -> int:
    """Index of the unit vector (m, dim) with the smallest sum of squared distances to the others."""
    return int(np.argmax(vectors @ vectors.sum(axis=0)))


def _ward(vectors: Vectors, cut: float) -> NDArray[np.int64]:
    if len(vectors) == 1:
        return np.ones(1, dtype=np.int64)
    return np.asarray(fcluster(linkage(vectors.astype(np.float64), "ward"), cut, "distance"), dtype=np.int64)


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """Scale a vector to length 1; None for a vector of zeros."""
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if length > 1e-6 else None


def combine_interests(
    recent: Interest | None,
    lasting: list[Interest],
    long_tail: list[Interest],
    settings: InterestSettings,
    sequence: list[Interest] | None = None,
) -> list[Interest]:
    """Join all interests of a user, with shares that sum to 1; the share of an empty part goes to the others.

    A lasting interest whose medoid is in a long-tail interest is left out: the long tail has slots of its own.
    The short-term interest of a sequence model takes its share from the recent events, the long-term one from the
    lasting interests.
    """
    projected = sequence or []
    short, long = (
        sum(interest.share for interest in projected if interest.kind == kind) for kind in ("short_term", "long_term")
    )
    long_tail_places = {int(place) for interest in long_tail for place in interest.members}
    lasting = [interest for interest in lasting if interest.medoid not in long_tail_places]
    kept = sum(interest.share for interest in lasting)
    lasting = [replace(interest, share=interest.share / kept) for interest in lasting]
    parts = [
        (settings.recent_share - short, [] if recent is None else [replace(recent, share=1.0)]),
        (settings.long_tail_share, [replace(interest, share=1 / len(long_tail)) for interest in long_tail]),
        (1 - settings.recent_share - settings.long_tail_share - long, lasting),
        *((interest.share, [replace(interest, share=1.0)]) for interest in projected),
    ]
    total = sum(share for share, members in parts if members)
    return [replace(interest, share=interest.share * share / total) for share, members in parts for interest in members]
