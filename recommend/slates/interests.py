"""A user's interests: what the last events say, and the clusters that a whole history falls into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import DAY_US, History
from firstsight.recommend.items import ItemSpace, Places

InterestKind = Literal["recent", "lasting", "long_tail"]


@dataclass(frozen=True)
class Interest:
    """A direction in the space of items that a user has gone.

    Attributes:
        kind: recent events, a lasting cluster of the history, or a cluster that recency would lose.
        vector: (dim,) float32, unit length: the mean of its items.
        medoid: the place of the item of the history that stands for it.
        members: (m,) places of its items, none twice.
        share: of the slots that are filled by interests, 0 to 1; all of a user's shares sum to 1.
    """

    kind: InterestKind
    vector: NDArray[np.float32]
    medoid: int
    members: Places
    share: float


@dataclass(frozen=True)
class InterestSettings:
    """How a history is divided into interests."""

    recent_share: float = 0.6  # of slots; more than half, so that a slate follows a switch of interest
    recent_events: int = 10
    recent_half_life: float = 2.0  # events after which one counts half: three new ones outweigh all before them
    long_tail_share: float = 0.1
    max_long_tail: int = 2
    cut: float = 1.1  # distance at which Ward's tree is cut; two items of cosine .4 are that far apart
    max_lasting: int = 12  # lasting interests kept, by importance
    decay_per_day: float = 0.01  # lambda of the importance
    clustered_events: int = 300  # newest distinct items that are clustered: the tree takes their square


def recent_interest(space: ItemSpace, history: History, settings: InterestSettings) -> Interest | None:
    """The decayed mean of the last events; None where none of them has a vector.

    An event counts its weight, halved for every `recent_half_life` events after it.
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
    """Ward clusters of a history, the most important first, each named by its medoid.

    Args:
        now_us: microseconds since 1970; events after it count as of that moment.

    Returns:
        At most `max_lasting`, with `share` (they sum to 1) in proportion to the importance: the sum over a
        cluster's events of weight * exp(-lambda * days since). Empty where no item of the history has a vector.

    Source: Pal et al., "PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest", KDD 2020,
    sections 3.2 to 3.4. The paper searches by the medoid; here the mean was measured to find more.
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
    found: list[Interest] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        medoid = medoid_of(space.vectors[places[members]])
        vector = unit(space.vectors[places[members]].sum(axis=0))
        if vector is not None:
            weight = float(importance[members].sum())
            found.append(Interest("lasting", vector, int(places[members[medoid]]), places[members], weight))
    found.sort(key=lambda interest: (-interest.share, interest.medoid))
    found = found[: settings.max_lasting]
    whole = sum(interest.share for interest in found)
    return [replace(interest, share=interest.share / whole) for interest in found]


def medoid_of(vectors: Vectors) -> int:
    """Which of some unit vectors (m, dim) has the smallest sum of squared distances to the others."""
    return int(np.argmax(vectors @ vectors.sum(axis=0)))


def _ward(vectors: Vectors, cut: float) -> NDArray[np.int64]:
    if len(vectors) == 1:
        return np.ones(1, dtype=np.int64)
    return np.asarray(fcluster(linkage(vectors.astype(np.float64), "ward"), cut, "distance"), dtype=np.int64)


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """A vector at length 1; None for one of zeros."""
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if length > 1e-6 else None


def combine_interests(
    recent: Interest | None, lasting: list[Interest], long_tail: list[Interest], settings: InterestSettings
) -> list[Interest]:
    """All interests of a user, their shares set so that they sum to 1; a part that is empty leaves its share.

    A lasting interest that the long tail has as well is left to it, where it has slots of its own.
    """
    lost = {int(place) for one in long_tail for place in one.members}
    lasting = [one for one in lasting if one.medoid not in lost]
    kept = sum(one.share for one in lasting)
    lasting = [replace(one, share=one.share / kept) for one in lasting]
    parts = [
        (settings.recent_share, [] if recent is None else [replace(recent, share=1.0)]),
        (settings.long_tail_share, [replace(one, share=1 / len(long_tail)) for one in long_tail]),
        (1 - settings.recent_share - settings.long_tail_share, lasting),
    ]
    whole = sum(share for share, members in parts if members)
    return [replace(one, share=one.share * share / whole) for share, members in parts for one in members]
