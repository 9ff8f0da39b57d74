"""Which blend suits a log: cold items are made within it, and the settings that find them best are taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import rank, recall
from firstsight.recommend.evaluation.protocols import Split, item_cold
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.blend_scoring import BlendSettings, blend_scores, max_cosines
from firstsight.recommend.models.cold_factors import FactorMapping, add_cold_factors
from firstsight.recommend.models.collaborative import fit_factors

K = 20
ALPHAS = (1.0, 10.0)
MAPPINGS: tuple[tuple[FactorMapping, float], ...] = (("knn", 1.0), ("ridge", 1.0), ("ridge", 3.0), ("ridge", 10.0))
WEIGHTS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0)
SPLITS = 3
MAX_USERS = 1_000
"""Users asked in each split: enough to tell settings apart, and few enough that a large log takes no longer."""


@dataclass(frozen=True)
class BlendChoice:
    """Settings, and the held-out recall@20 of cold items that they were chosen by.

    Attributes:
        settings: the best.
        blend: their recall.
        content: that of content alone.
        collaborative: the best of collaborative factors alone.
        chance: that of a random order.
        users: asked, over all splits.
    """

    settings: BlendSettings
    blend: float
    content: float
    collaborative: float
    chance: float
    users: int


def choose_settings(train: Interactions, content: Vectors, *, seed: int = 0) -> BlendChoice:
    """Try every setting on cold items held out of the log, three times, a fifth of the items each.

    The figure of what is chosen is a little too good, since it was chosen by it.

    Raises:
        QueryError: the log has too few events for it.
        OptionalDependencyError: implicit is not installed.
    """
    tried: dict[BlendSettings, list[float]] = {}
    chance, asked = [], 0
    for number in range(SPLITS):
        split = _limit_users(item_cold(train, seed=1_000 + seed + number), seed)
        chance.append(min(1.0, K / len(split.candidates)))
        asked += len(split.users)
        with threadpool_limits(1, "blas"):  # many small products: threads wait for each other longer than they work
            for settings, value in _score_settings(split, content).items():
                tried.setdefault(settings, []).append(value)
    means = {settings: float(np.mean(values)) for settings, values in tried.items()}
    best = max(means, key=lambda one: (means[one], -abs(one.weight - 0.5)))
    return BlendChoice(
        settings=best,
        blend=means[best],
        content=max(value for one, value in means.items() if one.weight == 0),
        collaborative=max(value for one, value in means.items() if one.weight == 1),
        chance=float(np.mean(chance)),
        users=asked,
    )


def _score_settings(split: Split, content: Vectors) -> dict[BlendSettings, float]:
    similar = max_cosines(content, split.histories, split.candidates)
    found = {}
    for alpha in ALPHAS:
        fitted = fit_factors(split.train, alpha=alpha)
        folded = fitted.fold_in(split.histories)  # all of it warm items, so that no mapping has a part in it
        for mapping, ridge in MAPPINGS:
            factors = add_cold_factors(fitted, content, ~split.cold, mapping, ridge=ridge)
            collaborative = (folded @ factors.items[split.candidates].T).astype(np.float32)
            for weight in WEIGHTS:
                ranked = rank(blend_scores(collaborative, similar, weight), split.candidates, K)
                settings = BlendSettings(alpha, mapping, ridge, weight)
                found[settings] = float(np.nanmean(recall(ranked, split.targets)))
    return found


def _limit_users(split: Split, seed: int) -> Split:
    if len(split.users) <= MAX_USERS:
        return split
    kept = np.sort(np.random.default_rng(seed).permutation(len(split.users))[:MAX_USERS])
    return Split(
        split.protocol,
        split.train,
        split.users[kept],
        [split.histories[n] for n in kept],
        [split.targets[n] for n in kept],
        split.candidates,
        split.cold,
    )


def check_enough_events(train: Interactions) -> None:
    """Refuse a log that is too small to hold anything out.

    Raises:
        QueryError: fewer than 20 users or 20 items have events.
    """
    users, items = len(np.unique(train.users)), int(np.count_nonzero(train.popularity()))
    if users < 20 or items < 20:
        raise QueryError(
            f"{users} users and {items} items have events; 20 of each are the least to learn from: add more events"
        )
