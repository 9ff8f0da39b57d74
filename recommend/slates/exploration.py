"""Exploration: slots for items that nobody was shown, and for clusters beside those a user knows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import Places
from firstsight.recommend.semantic_ids.clusters import Clusters

NEIGHBOURS = 3
"""Clusters beside each of the user's own that are open to exploration."""

MAX_NEW_ITEM_SLOTS = 100
"""Slots after which an item without events is no longer new."""

ITEMS_PER_CLUSTER = 10
"""Of a drawn cluster, the items that suit the user best, among which the draw is even."""

DRAWS = 256
"""Of every cluster's posterior; the shares that each wins are the policy itself, and so exact."""


@dataclass(frozen=True)
class ExplorationOutcomes:
    """What earlier exploration came to.

    Attributes:
        shown: (n,) slots in which each item stood, of any slate that was logged.
        successes, failures: (clusters,) explored slots after which the user did or did not turn to the item.
    """

    shown: NDArray[np.int64]
    successes: NDArray[np.int64]
    failures: NDArray[np.int64]

    @classmethod
    def none(cls, items: int, clusters: int) -> ExplorationOutcomes:
        """Nothing was logged yet."""
        return cls(*(np.zeros(n, dtype=np.int64) for n in (items, clusters, clusters)))


@dataclass(frozen=True)
class ExploredItem:
    """An item that exploration chose.

    Attributes:
        place: of the item.
        is_new: it has no events and was hardly shown; otherwise it is of a neighbouring cluster.
        propensity: the probability of this draw, given the draws before it.
    """

    place: int
    is_new: bool
    propensity: float


@dataclass
class Exploration:
    """Draws for one slate: a cluster by Thompson sampling, then one of the items in it that suit the user best.

    A cluster's rate of success has a Beta(1 + successes, 1 + failures) posterior. Source: Chapelle and Li, "An
    Empirical Evaluation of Thompson Sampling", NeurIPS 2011. Its choice probabilities have no closed form; here
    they are the shares of `DRAWS` draws that each cluster wins, and the cluster is drawn from just these shares, so
    that the propensity logged is the one that was used.
    """

    places: Places
    labels: NDArray[np.int32]
    is_new: NDArray[np.bool_]
    personal_scores: NDArray[np.float32]
    outcomes: ExplorationOutcomes
    rng: np.random.Generator
    _drawn_places: set[int] = field(default_factory=set)
    _known: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    _posterior_draws: NDArray[np.float64] | None = None

    @classmethod
    def open(
        cls,
        clusters: Clusters,
        history: History,
        *,
        allowed: NDArray[np.bool_],
        counts: NDArray[np.int64],
        personal: NDArray[np.float32],
        outcomes: ExplorationOutcomes,
        rng: np.random.Generator,
    ) -> Exploration:
        """What may be explored for a user: new items of the user's clusters, and any item of those beside them.

        Args:
            allowed: (n,) what may be shown to this user at all.
            counts: (n,) users of each item.
            personal: (n,) how well each item suits the user.
        """
        new = (counts == 0) & (outcomes.shown < MAX_NEW_ITEM_SLOTS)
        own = np.unique(clusters.labels[history.items]) if len(history) else np.zeros(0, dtype=np.int32)
        own = own[own >= 0]
        # for -1, an item without a vector, which has no cluster
        is_own, is_near = np.zeros(len(clusters) + 1, dtype=bool), np.zeros(len(clusters) + 1, dtype=bool)
        if len(own):
            is_own[own] = True
            is_near[clusters.nearest[own, :NEIGHBOURS]] = True
            is_near &= ~is_own
        else:
            is_own[:-1] = True
        open_ = allowed & ((is_own[clusters.labels] & new) | is_near[clusters.labels])
        places = np.flatnonzero(open_)
        return cls(places, clusters.labels[places], new[places], personal[places], outcomes, rng)

    def draw(self, among: NDArray[np.bool_]) -> ExploredItem | None:
        """One item out of those of a mask (n,); None where none is open. Never the same twice."""
        left = np.flatnonzero(among[self.places])
        left = left[~np.isin(self.places[left], list(self._drawn_places))] if self._drawn_places else left
        if not len(left):
            return None
        labels = np.unique(self.labels[left])
        wins = self._wins(labels)
        chosen = int(self.rng.choice(len(labels), p=wins))
        inside = left[self.labels[left] == labels[chosen]]
        best = inside[np.argsort(-self.personal_scores[inside], kind="stable")[:ITEMS_PER_CLUSTER]]
        one = int(best[self.rng.integers(len(best))])
        self._drawn_places.add(int(self.places[one]))
        return ExploredItem(int(self.places[one]), bool(self.is_new[one]), float(wins[chosen]) / len(best))

    def _wins(self, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """(labels,) how often each cluster has the highest rate of success in draws from the posteriors."""
        if self._posterior_draws is None:  # one set of draws for all slots of a slate
            self._known = np.unique(self.labels)
            good, bad = self.outcomes.successes[self._known], self.outcomes.failures[self._known]
            self._posterior_draws = self.rng.beta(1 + good, 1 + bad, (DRAWS, len(self._known)))
        rates = self._posterior_draws[:, np.searchsorted(self._known, labels)]
        wins = np.bincount(rates.argmax(axis=1), minlength=len(labels))
        return np.asarray(wins / DRAWS)


def explored_slots(slots: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(slots,) which of them explore: `slots * share` on average, never more than one off, at places drawn evenly.

    Every slot explores with probability `share` exactly.
    """
    count = int(np.floor(slots * share + rng.random()))
    mask = np.zeros(slots, dtype=bool)
    mask[rng.permutation(slots)[:count]] = True
    return mask
