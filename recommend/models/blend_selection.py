"""Selection of a blend for a log: hold out items as cold ones, and take the settings that find them best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import rank, recall
from firstsight.recommend.evaluation.protocols import Split, item_cold
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.blend_scoring import BlendSettings, blend_scores, max_cosines
from firstsight.recommend.models.cold_factors import FactorMapping, add_cold_factors
from firstsight.recommend.models.collaborative import fit_factors
from firstsight.threads import single_threaded_blas

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


class SettingsTrial:
    """Recall of all settings on several splits, from which the best are chosen."""

    def __init__(self) -> None:
        self._recalls: dict[BlendSettings, list[NDArray[np.float64]]] = {}
        self._chance: list[float] = []
        self._users = 0

    def add(self, split: Split, content: Vectors) -> None:
        """Score all settings on one split.

        Args:
            split: with cold items as its candidates.
            content: (n, d) unit rows in the order of the space.

        Raises:
            OptionalDependencyError: implicit is not installed.
        """
        self._chance.append(min(1.0, K / len(split.candidates)))
        self._users += len(split.users)
        with single_threaded_blas():  # for many small products, threads wait longer than they work
            for settings, recalls in _score_settings(split, content).items():
                of_log = np.full(len(split.train.user_ids), np.nan)
                of_log[split.users] = recalls
                self._recalls.setdefault(settings, []).append(of_log)

    def choice(self) -> BlendChoice:
        """The settings with the highest mean recall over the splits."""
        means = {
            settings: float(np.mean([np.nanmean(recalls) for recalls in of_splits]))
            for settings, of_splits in self._recalls.items()
        }
        best = max(means, key=lambda settings: (means[settings], -abs(settings.weight - 0.5)))
        return BlendChoice(
            settings=best,
            blend=means[best],
            content=max(value for settings, value in means.items() if settings.weight == 0),
            collaborative=max(value for settings, value in means.items() if settings.weight == 1),
            chance=float(np.mean(self._chance)),
            users=self._users,
        )

    def held_out_recalls(self, *, weight: float | None = None) -> NDArray[np.float64]:
        """(users of the log,) mean recall@20 over the splits that a user is in; NaN for a user in none.

        In each split the settings are those that were best in the other splits, so no split chooses its own. A single
        split chooses its own settings.

        Args:
            weight: only settings with this weight of the collaborative score, such as 0 for content alone.
        """
        known = [settings for settings in self._recalls if weight in (None, settings.weight)]
        means = np.array([[np.nanmean(recalls) for recalls in self._recalls[settings]] for settings in known])
        splits = means.shape[1]
        values = []
        for split in range(splits):
            others = [n for n in range(splits) if n != split or splits == 1]
            best = known[int(np.argmax(means[:, others].mean(axis=1)))]
            values.append(self._recalls[best][split])
        return _mean_of_splits(np.stack(values))


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
    trial = SettingsTrial()
    for split in draw_splits(train, seed=seed):
        trial.add(split, content)
    return trial.choice()


def draw_splits(
    train: Interactions, *, splits: int | None = None, max_users: int | None = None, seed: int = 0
) -> Iterator[Split]:
    """Draw the splits of a selection: a fifth of the items is cold in each.

    Args:
        train: the events.
        splits: number of splits, `SPLITS` by default.
        max_users: maximum number of users in each, `MAX_USERS` by default.
        seed: of the splits.

    Raises:
        QueryError: the log has too few events.
    """
    for number in range(splits or SPLITS):
        yield _limit_users(item_cold(train, seed=1_000 + seed + number), seed, max_users or MAX_USERS)


def _score_settings(split: Split, content: Vectors) -> dict[BlendSettings, NDArray[np.float64]]:
    """(users,) recalls of the split's users, by settings."""
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
                recalls[BlendSettings(alpha, mapping, ridge, weight)] = recall(ranked, split.targets)
    return recalls


def _mean_of_splits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(splits, users) to (users,): mean over the splits that a user is in."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


def _limit_users(split: Split, seed: int, max_users: int) -> Split:
    if len(split.users) <= max_users:
        return split
    kept = np.sort(np.random.default_rng(seed).permutation(len(split.users))[:max_users])
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
