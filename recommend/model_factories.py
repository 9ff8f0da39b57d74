"""Models for evaluation, by name: the usual baselines and the models that this package recommends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.baselines import EASE, MeanProfile, Popularity, RandomOrder
from firstsight.recommend.models.blend import Blend, MaxSimilarity
from firstsight.recommend.models.collaborative import ALS
from firstsight.recommend.models.content_tuning import choose_tuned_content
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.recommend.ranking.fitted_ranking import FittedRanking
from firstsight.recommend.ranking.item_content import ItemContent, read_prices
from firstsight.recommend.ranking.unfitted_recommender import UnfittedRecommender
from firstsight.recommend.recommender import Recommender
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.storage.store import Store

MODEL_NAMES = (
    "random",
    "popularity",
    "mean profile",
    "max similarity",
    "ALS",
    "EASE",
    "blend",
    "tuned blend",
    "fixed weights",
    "recommend",
    "sequence",
)

SLOW_MODELS = ("tuned blend", "sequence")
"""Models that train for a minute or more: they are left out unless they are named."""


def select_model_factories(
    store: Store, space: ItemSpace, names: Sequence[str] = ()
) -> Mapping[str, Callable[[], Recommender]]:
    """Choose models by name; each factory makes a new model at every call.

    Args:
        store: the database that content vectors and codebooks are read from.
        space: the items that the models rank.
        names: some of `MODEL_NAMES`; all but `SLOW_MODELS` by default.

    Returns:
        Factories by name, in the order of `MODEL_NAMES`.

    Raises:
        QueryError: a name is unknown.
    """
    for name in names:
        if name not in MODEL_NAMES:
            raise QueryError(f"there is no model {name!r} to evaluate; the models are {', '.join(MODEL_NAMES)}")
    shared = _SharedInputs(store, space)
    known: dict[str, Callable[[], Recommender]] = {
        "random": RandomOrder,
        "popularity": Popularity,
        "mean profile": MeanProfile,
        "max similarity": MaxSimilarity,
        "ALS": ALS,
        "EASE": EASE,
        "blend": lambda: _BlendModel(shared),
        "tuned blend": lambda: _TunedBlendModel(shared),
        "fixed weights": lambda: UnfittedRecommender(shared.item_content, shared.blend),
        "recommend": lambda: FittedRanking(shared.item_content, lambda train: shared.blend(train).settings),
        "sequence": lambda: SequenceRecommender(space, shared.content),
    }
    chosen = names or [name for name in MODEL_NAMES if name not in SLOW_MODELS]
    return {name: known[name] for name in MODEL_NAMES if name in chosen}


class _SharedInputs:
    """Inputs that several models share: content, and the blend of the latest training events."""

    def __init__(self, store: Store, space: ItemSpace) -> None:
        self._store, self.space = store, space
        self._last: tuple[Interactions, Blend] | None = None

    @cached_property
    def content(self) -> Vectors:
        return content_vectors(self.space, self.item_content.words)

    @cached_property
    def item_content(self) -> ItemContent:
        texts = read_texts(self._store, self.space)
        return ItemContent(self.space, WordSpace.fit(texts).transform(texts), read_prices(self._store, self.space))

    def blend(self, train: Interactions) -> Blend:
        if self._last is None or self._last[0] is not train:
            blend = Blend(self.content)
            blend.fit(train)
            self._last = (train, blend)
        return self._last[1]


class _BlendModel:
    """The model of `firstsight cold-start fit`; its settings are chosen on the training events."""

    name = "blend"

    def __init__(self, shared: _SharedInputs) -> None:
        self._shared = shared
        self._model: Blend | None = None

    def fit(self, train: Interactions) -> None:
        """Choose settings, then learn factors."""
        self._model = self._shared.blend(train)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores."""
        assert self._model is not None  # fitted first
        return self._model.scores(users, candidates)


class _TunedBlendModel:
    """The model of `firstsight cold-start fit --tune`: the blend, on mapped content if held-out items gain from it."""

    name = "tuned blend"

    def __init__(self, shared: _SharedInputs) -> None:
        self._shared = shared
        self._model: Blend | None = None

    def fit(self, train: Interactions) -> None:
        """Learn and compare a content map, choose settings, then learn factors."""
        content = self._shared.content
        tuned = choose_tuned_content(train, content)
        if tuned.content_map is not None:
            content = tuned.content_map.apply(content)
        self._model = Blend(content, tuned.choice.settings)
        self._model.fit(train)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores."""
        assert self._model is not None  # fitted first
        return self._model.scores(users, candidates)
