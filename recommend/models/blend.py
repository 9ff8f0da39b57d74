"""Content and collaborative scores in one: what ranks items that nobody has clicked.

A candidate's score is w · z(collaborative) + (1 - w) · z(content): the first from factors that content was mapped to,
the second its greatest cosine to an item of the history, each standardised over the candidates of that user.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import Places
from firstsight.recommend.models.blend_scoring import BlendSettings, blend_scores, max_cosines, standardise_rows
from firstsight.recommend.models.blend_selection import choose_settings
from firstsight.recommend.models.cold_factors import add_cold_factors
from firstsight.recommend.models.collaborative import Factors, fit_factors


class MaxSimilarity:
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
