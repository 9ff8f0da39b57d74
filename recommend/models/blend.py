"""Content and collaborative scores in one: what ranks items that nobody has clicked.

A candidate's score is w · z(collaborative) + (1 - w) · z(content): the first from factors that content was mapped to,
the second its greatest cosine to an item of the history, each standardised over the candidates of that user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.models.cold_factors import FactorMapping, add_cold_factors
from firstsight.recommend.models.collaborative import Factors, fit_factors

LAST_EVENTS = 200
"""Of a history, that candidates are compared with."""


@dataclass(frozen=True)
class BlendSettings:
    """What a blend is made of; `choose_settings` finds it from held-out cold items."""

    alpha: float = 10.0  # confidence of an event of weight 1
    mapping: FactorMapping = "ridge"  # from content to factors
    ridge: float = 1.0  # penalty of the linear map
    weight: float = 0.5  # of the collaborative score, 0 to 1; the content's is the rest


class Content:
    """The greatest cosine of a candidate to an item of the user's history; a parent of the blend."""

    name = "max similarity"

    def __init__(self, content: Vectors | None = None) -> None:
        """Args:
        content: (n, d) unit rows in the order of the space; the encoder's vectors by default.
        """
        self._content = content

    def fit(self, train: Interactions) -> None:
        """Learns nothing; takes the space's vectors where it was given none."""
        if self._content is None:
            self._content = train.space.vectors

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) cosines; 0 for an empty history.

        Raises:
            QueryError: it was given no content and not fitted.
        """
        if self._content is None:
            raise QueryError("the content model has no vectors yet; fit it first")
        return max_cosines(self._content, users, candidates)


class Blend:
    """Content and collaborative scores, weighted."""

    name = "blend"

    def __init__(
        self, content: Vectors | None = None, settings: BlendSettings | None = None, *, factors: Factors | None = None
    ) -> None:
        """A blend to be fitted, or one of factors that are there.

        Args:
            content: (n, d) unit rows in the order of the space; the encoder's vectors by default.
            settings: chosen by `fit` from held-out cold items where they are not given.
            factors: of every item, cold ones too.
        """
        self._content = content
        self._given = settings
        self._settings = settings
        self._factors = factors

    @property
    def settings(self) -> BlendSettings:
        """What it is made of.

        Raises:
            QueryError: it was given none and not fitted.
        """
        if self._settings is None:
            raise QueryError("the blend has no settings yet; fit it first")
        return self._settings

    @property
    def factors(self) -> Factors:
        """Of every item, those of cold ones mapped from content.

        Raises:
            QueryError: it was not fitted.
        """
        if self._factors is None:
            raise QueryError("the blend has no factors yet; fit it first")
        return self._factors

    def fit(self, train: Interactions) -> None:
        """Choose settings where none were given, learn factors, and map them to cold items.

        Raises:
            QueryError, OptionalDependencyError: see `fit_factors`.
        """
        from firstsight.recommend.models.blend_selection import choose_settings

        if self._content is None:
            self._content = train.space.vectors
        self._settings = self._given or choose_settings(train, self._content).settings
        warm = train.popularity() > 0
        fitted = fit_factors(train, alpha=self.settings.alpha)
        self._factors = add_cold_factors(fitted, self._content, warm, self.settings.mapping, ridge=self.settings.ridge)

    def collaborative(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) of the factors alone: milliseconds for 100,000 candidates, to rank before blending."""
        return self.factors.scores(users, candidates)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores; for an empty history what the mean user wants.

        Comparing 100 events with 100,000 candidates takes about 0.2 s; give a short list where that is too long, or
        rank by `factors.scores` first, which takes milliseconds.

        Raises:
            QueryError: it was not fitted.
        """
        assert self._content is not None or self._factors is None
        collaborative = self.factors.scores(users, candidates)
        if self.settings.weight == 1 or self._content is None:
            return standardise_rows(collaborative)
        return blend_scores(collaborative, max_cosines(self._content, users, candidates), self.settings.weight)


def blend_scores(
    collaborative: NDArray[np.float32], content: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """(users, candidates) weight · z(collaborative) + (1 - weight) · z(content)."""
    both = weight * standardise_rows(collaborative) + (1 - weight) * standardise_rows(content)
    return np.asarray(both, dtype=np.float32)


def max_cosines(content: Vectors, histories: Sequence[History], candidates: Places) -> NDArray[np.float32]:
    """(users, candidates) the greatest cosine to an item among a user's last events; 0 for an empty history."""
    every = np.array_equal(candidates, np.arange(len(content)))  # 256 MB that need no copy at 100,000 items
    columns = (content if every else content[candidates]).T
    greatest = np.zeros((len(histories), len(candidates)), dtype=np.float32)
    for row, history in enumerate(histories):
        seen = np.unique(history.last(LAST_EVENTS).items)
        if len(seen):
            (content[seen] @ columns).max(axis=0, out=greatest[row])
    return greatest


def standardise_rows(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row to mean 0 and deviation 1; zeros where all of it is equal."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    made: NDArray[np.float32] = np.zeros_like(centred)
    np.divide(centred, spread, out=made, where=spread > 1e-9)
    return made
