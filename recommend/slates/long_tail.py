"""Interests that recency would lose: a user's whole history counted over clusters of the whole index."""

from __future__ import annotations

import numpy as np

from firstsight.recommend.events.interactions import DAY_US, History
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.interests import Interest, InterestSettings, medoid_of, unit

FORGOTTEN_DAYS = 30
"""Without an event for so long, an interest is one that recency loses."""

MIN_EVENTS = 2
MIN_LIFT = 1.5
"""How many times the user's share of events in a cluster is the cluster's share of the index, at least."""


def long_tail_interests(
    clusters: Clusters, history: History, now_us: int, settings: InterestSettings
) -> list[Interest]:
    """Clusters in which a user was once active far above chance, and has not been for `FORGOTTEN_DAYS`.

    Every event of the history counts the same, however old: a cluster needs `MIN_EVENTS` and a lift of `MIN_LIFT`.
    They are ordered by events * log(lift), the part of the likelihood that the cluster explains.

    Returns:
        At most `max_long_tail`; `share` is left 0.

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
    found = []
    for label in chosen:
        members = np.unique(history.items[labels == label])
        vectors = clusters.space.vectors[members]
        vector = unit(vectors.sum(axis=0))
        if vector is not None:
            found.append(Interest("long_tail", vector, int(members[medoid_of(vectors)]), members, 0.0))
    return found
