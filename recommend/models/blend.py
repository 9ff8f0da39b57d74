"""A blend of content and collaborative scores, which ranks items that nobody has clicked yet.

A candidate's score is w · z(collaborative) + (1 - w) · z(content). The collaborative score comes from factors that are
mapped from content. The content score is the highest cosine to an item of the history. Both are standardised over the
candidates of one user.
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
    """The highest cosine of a candidate to an item of the user's history: the content part of the blend."""

    name = "max similarity"

    def __init__(self, content: Vectors | None = None) -> None:
        """
        Args:
            content: (n, d) unit rows in the order of the space; the encoder's vectors by default.
        """
        self._content = content

    def fit(self, train: Interactions) -> None:
        """Take the vectors of the space, unless content was given. There is nothing to learn."""
        if self._content is None:
            self._content = train.space.vectors

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) cosines; 0 for an empty history.

        Raises:
            QueryError: no content was given and the model is not fitted.
        """
        if self._content is None:
            raise QueryError("max similarity has no vectors yet; fit it first")
        return max_cosines(self._content, users, candidates)


class Blend:
    """A weighted sum of content and collaborative scores."""

    name = "blend"

    def __init__(
        self, content: Vectors | None = None, settings: BlendSettings | None = None, *, factors: Factors | None = None
    ) -> None:
        """
        Args:
            content: (n, d) unit rows in the order of the space; the encoder's vectors by default.
            settings: by default `fit` chooses them on held-out cold items.
            factors: of every item, cold ones included; without them the blend must be fitted.
        """
        self._content = content
        self._given = settings
        self._settings = settings
        self._factors = factors

    @property
    def settings(self) -> BlendSettings:
        """The settings, given or chosen.

        Raises:
            QueryError: no settings were given and the blend is not fitted.
        """
        if self._settings is None:
            raise QueryError("the blend has no settings yet; fit it first")
        return self._settings

    @property
    def factors(self) -> Factors:
        """Factors of every item; those of cold items are mapped from content.

        Raises:
            QueryError: no factors were given and the blend is not fitted.
        """
        if self._factors is None:
            raise QueryError("the blend has no factors yet; fit it first")
        return self._factors

    def fit(self, train: Interactions) -> None:
        """Choose settings if none were given, learn factors, and map them to cold items.

        Raises:
            QueryError: there are too few events.
            OptionalDependencyError: implicit is not installed.
        """
        if self._content is None:
            self._content = train.space.vectors
        self._settings = self._given or choose_settings(train, self._content).settings
        warm = train.popularity() > 0
        fitted = fit_factors(train, alpha=self.settings.alpha)
        self._factors = add_cold_factors(fitted, self._content, warm, self.settings.mapping, ridge=self.settings.ridge)

    def collaborative(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores of the factors alone: milliseconds for 100,000 candidates, for a first ranking."""
        return self.factors.scores(users, candidates)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores; a user with an empty history is scored as the mean user.

        Comparing 100 events with 100,000 candidates takes about 0.2 s. If that is too long, rank by `collaborative`
        first, which takes milliseconds, and score the best candidates only.

        Raises:
            QueryError: the blend is not fitted.
        """
        assert self._content is not None or self._factors is None
        collaborative = self.factors.scores(users, candidates)
        if self.settings.weight == 1 or self._content is None:
            return standardise_rows(collaborative)
        return blend_scores(collaborative, max_cosines(self._content, users, candidates), self.settings.weight)
