"""Long-tail interests, which recency would lose: a whole history counted over clusters of the whole index."""

from __future__ import annotations

import numpy as np

from firstsight.recommend.events.interactions import DAY_US, History
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.interests.interests import Interest, InterestSettings, medoid_of, unit

FORGOTTEN_DAYS = 30
"""Days without an event after which recency loses an interest."""

MIN_EVENTS = 2
MIN_LIFT = 1.5
"""Minimum lift: the user's share of events in a cluster, divided by the cluster's share of the index."""


def long_tail_interests(
    clusters: Clusters, history: History, now_us: int, settings: InterestSettings
) -> list[Interest]:
    """Find clusters in which a user was active far above chance, but not during the last `FORGOTTEN_DAYS`.

    All events of the history weigh the same, whatever their age. A cluster needs `MIN_EVENTS` events and a lift of
    `MIN_LIFT`. Clusters are ordered by events * log(lift), the part of the likelihood that they explain.

    Args:
        clusters: of the whole index.
        history: of the user.
        now_us: microseconds since 1970.
        settings: maximum number of interests.

    Returns:
        At most `max_long_tail` interests, with share 0 (`combine_interests` sets it).

    Source: the statistics over index-wide clusters of Yan et al., "Trinity: Syncretizing Multi-/Long-tail/Long-term
    Interests All in One", KDD 2024, section 3.
    """
    labels = clusters.labels[history.items]
    inside = labels >= 0
    if not inside.any():
        return []
    counts = np.bincount(labels[inside], minlength=len(clusters))
    newest = np.full(len(clusters), np.iinfo(np.int64).min)
    np.maximum.at(newest, labels[inside], history.times[inside])
    lift = counts / inside.sum() / np.maximum(clusters.shares, 1e-12)
    forgotten = (now_us - np.maximum(newest, 0)) > FORGOTTEN_DAYS * DAY_US
    chosen = np.flatnonzero((counts >= MIN_EVENTS) & (lift >= MIN_LIFT) & forgotten)
    chosen = chosen[np.argsort(-counts[chosen] * np.log(lift[chosen]), kind="stable")][: settings.max_long_tail]
    interests = []
    for label in chosen:
        members = np.unique(history.items[labels == label])
        vectors = clusters.space.vectors[members]
        vector = unit(vectors.sum(axis=0))
        if vector is not None:
            interests.append(Interest("long_tail", vector, int(members[medoid_of(vectors)]), members, 0.0))
    return interests
