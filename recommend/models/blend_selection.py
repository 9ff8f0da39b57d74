"""Selection of a blend for a log: hold out items as cold ones, and take the settings that find them best."""

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
"""Maximum number of users in each split: enough to compare settings, and a limit to the time for a large log."""


@dataclass(frozen=True)
class BlendChoice:
    """The best settings, with the held-out recall@20 of cold items that decided.

    Attributes:
        settings: the best ones.
        blend: their recall.
        content: recall of content alone.
        collaborative: the best recall of collaborative factors alone.
        chance: recall of a random order.
        users: number of users over all splits.
    """

    settings: BlendSettings
    blend: float
    content: float
    collaborative: float
    chance: float
    users: int


def choose_settings(train: Interactions, content: Vectors, *, seed: int = 0) -> BlendChoice:
    """Try all settings on held-out cold items: three splits, with a fifth of the items each.

    The recall of the chosen settings is slightly too high, since the same recall chose them.

    Args:
        train: the events.
        content: (n, d) unit rows in the order of the space.
        seed: of the splits.

    Raises:
        QueryError: the log has too few events.
        OptionalDependencyError: implicit is not installed.
    """
    tried: dict[BlendSettings, list[float]] = {}
    chance, users = [], 0
    for number in range(SPLITS):
        split = _limit_users(item_cold(train, seed=1_000 + seed + number), seed)
        chance.append(min(1.0, K / len(split.candidates)))
        users += len(split.users)
        with threadpool_limits(1, "blas"):  # for many small products, threads wait longer than they work
            for settings, value in _score_settings(split, content).items():
                tried.setdefault(settings, []).append(value)
    means = {settings: float(np.mean(values)) for settings, values in tried.items()}
    best = max(means, key=lambda settings: (means[settings], -abs(settings.weight - 0.5)))
    return BlendChoice(
        settings=best,
        blend=means[best],
        content=max(value for settings, value in means.items() if settings.weight == 0),
        collaborative=max(value for settings, value in means.items() if settings.weight == 1),
        chance=float(np.mean(chance)),
        users=users,
    )


def _score_settings(split: Split, content: Vectors) -> dict[BlendSettings, float]:
    similar = max_cosines(content, split.histories, split.candidates)
    recalls = {}
    for alpha in ALPHAS:
        fitted = fit_factors(split.train, alpha=alpha)
        folded = fitted.fold_in(split.histories)  # histories hold warm items only, so the mapping does not matter here
        for mapping, ridge in MAPPINGS:
            factors = add_cold_factors(fitted, content, ~split.cold, mapping, ridge=ridge)
            collaborative = (folded @ factors.items[split.candidates].T).astype(np.float32)
            for weight in WEIGHTS:
                ranked = rank(blend_scores(collaborative, similar, weight), split.candidates, K)
                settings = BlendSettings(alpha, mapping, ridge, weight)
                recalls[settings] = float(np.nanmean(recall(ranked, split.targets)))
    return recalls


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
    """Refuse a log that is too small to hold items out.

    Raises:
        QueryError: fewer than 20 users or 20 items have events.
    """
    users, items = len(np.unique(train.users)), int(np.count_nonzero(train.popularity()))
    if users < 20 or items < 20:
        raise QueryError(
            f"only {users} users and {items} items have events, the minimum is 20 of each; add more events"
        )
