"""Exploration: slots for items that were hardly shown yet, and for clusters next to those of the user."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import Places
from firstsight.recommend.semantic_ids.clusters import Clusters

NEIGHBOURS = 3
"""Number of nearest clusters that are open to exploration, for each of the user's own clusters."""

MAX_NEW_ITEM_SLOTS = 100
"""Number of slots after which an item without events is no longer new."""

ITEMS_PER_CLUSTER = 10
"""Number of items of a drawn cluster that the item is drawn from: those that suit the user best, with equal chances."""

DRAWS = 256
"""Draws from the posterior of every cluster. A cluster is chosen by its share of wins, so its probability is exact."""


@dataclass(frozen=True)
class ExplorationOutcomes:
    """Outcomes of earlier exploration.

    Attributes:
        shown: (n,) number of logged slots with each item, in any slate.
        successes, failures: (clusters,) number of explored slots whose item the user did or did not respond to.
    """

    shown: NDArray[np.int64]
    successes: NDArray[np.int64]
    failures: NDArray[np.int64]

    @classmethod
    def none(cls, items: int, clusters: int) -> ExplorationOutcomes:
        """Outcomes before anything was logged."""
        return cls(*(np.zeros(n, dtype=np.int64) for n in (items, clusters, clusters)))


@dataclass(frozen=True)
class ExploredItem:
    """An item that exploration chose.

    Attributes:
        place: its row of the space.
        is_new: the item has no events and was hardly shown; otherwise it is from a neighbouring cluster.
        propensity: the probability of this draw, given the draws before it.
    """

    place: int
    is_new: bool
    propensity: float


@dataclass
class Exploration:
    """Draws for one slate: a cluster by Thompson sampling, then one of its items that suit the user best.

    A cluster's success rate has a Beta(1 + successes, 1 + failures) posterior. Source: Chapelle and Li, "An Empirical
    Evaluation of Thompson Sampling", NeurIPS 2011. The choice probabilities have no closed form. Here they are the
    shares of `DRAWS` draws that each cluster wins. The cluster is drawn with exactly these shares, so that the logged
    propensity is the one that was used.
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
        """Open new items of the user's clusters, and all items of the clusters next to them, to exploration.

        Args:
            clusters: of the whole index.
            history: of the user; if it is empty, new items of all clusters are open.
            allowed: (n,) whether an item may be shown to this user.
            counts: (n,) number of users of each item.
            personal: (n,) the user's own scores.
            outcomes: of earlier exploration.
            rng: of the draws.
        """
        new = (counts == 0) & (outcomes.shown < MAX_NEW_ITEM_SLOTS)
        own = np.unique(clusters.labels[history.items]) if len(history) else np.zeros(0, dtype=np.int32)
        own = own[own >= 0]
        # one more element for label -1: an item without a vector has no cluster
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
        """Draw one item of a mask (n,), never the same twice; None if no open item is left."""
        remaining = np.flatnonzero(among[self.places])
        if self._drawn_places:
            remaining = remaining[~np.isin(self.places[remaining], list(self._drawn_places))]
        if not len(remaining):
            return None
        labels = np.unique(self.labels[remaining])
        wins = self._wins(labels)
        chosen = int(self.rng.choice(len(labels), p=wins))
        inside = remaining[self.labels[remaining] == labels[chosen]]
        best = inside[np.argsort(-self.personal_scores[inside], kind="stable")[:ITEMS_PER_CLUSTER]]
        drawn = int(best[self.rng.integers(len(best))])
        self._drawn_places.add(int(self.places[drawn]))
        return ExploredItem(int(self.places[drawn]), bool(self.is_new[drawn]), float(wins[chosen]) / len(best))

    def _wins(self, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """(labels,) the share of posterior draws in which each cluster has the highest success rate."""
        if self._posterior_draws is None:  # all slots of a slate use the same draws
            self._known = np.unique(self.labels)
            good, bad = self.outcomes.successes[self._known], self.outcomes.failures[self._known]
            self._posterior_draws = self.rng.beta(1 + good, 1 + bad, (DRAWS, len(self._known)))
        rates = self._posterior_draws[:, np.searchsorted(self._known, labels)]
        wins = np.bincount(rates.argmax(axis=1), minlength=len(labels))
        return np.asarray(wins / DRAWS)


def explored_slots(slots: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose which slots explore, at evenly drawn positions: (slots,) bool.

    Every slot explores with probability `share` exactly. The number of slots that explore is `slots * share` on
    average, and never more than one off.
    """
    count = int(np.floor(slots * share + rng.random()))
    mask = np.zeros(slots, dtype=bool)
    mask[rng.permutation(slots)[:count]] = True
    return mask
