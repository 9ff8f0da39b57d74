"""Inputs of a ranking apart from events: loaded once, and kept while items and models do not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.models.cold_start_model import ColdStartModel
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_store import StoredRanking, load_ranking
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.sequence.sequence_store import load_sequence_model, sequence_model_state
from firstsight.storage.store import Store


@dataclass(frozen=True)
class RankingInputs:
    """Models of a database for the ranking of one space.

    Attributes:
        content: of the items.
        stored: the fitted ranking; None for fixed weights.
        blend: of the cold-start model in use, for fixed weights; None without one.
        sequence: the sequence model in use, for interests, and for a ranking with a weight for it; None without one.
        versions: of the models, by name, for the log of slates.
    """

    content: ItemContent
    stored: StoredRanking | None = None
    blend: Blend | None = None
    sequence: SequenceRecommender | None = None
    versions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        store: Store,
        space: ItemSpace,
        version: int | None = None,
        *,
        encode: Callable[[Sequence[str]], Vectors] | None = None,
    ) -> RankingInputs:
        """Load the models in use.

        Args:
            store: the database.
            space: its items.
            version: of the fitted ranking, other than the one in use.
            encode: the encoder's text tower, for searches that a sequence model reads; see `load_sequence_model`.

        Raises:
            QueryError: there is no such version.
            EncoderMismatchError: a model was fitted on vectors of another encoder.
            StoreError: a model is damaged.
        """
        versions: dict[str, int] = {}
        sequence = load_sequence_model(store, space, encode=encode) if sequence_model_state(store) else None
        if sequence is not None and sequence.version is not None:
            versions["sequence"] = sequence.version
        stored = load_ranking(store, space, version)
        if stored is not None:
            versions["ranking"] = stored.version.version
            return cls(stored.content, stored, sequence=sequence, versions=versions)
        model = ColdStartModel.load(store, space)
        if model is None:
            return cls(ItemContent(space), sequence=sequence, versions=versions)
        versions["cold_start"] = model.version.version
        return cls(ItemContent(space), blend=model.blend, sequence=sequence, versions=versions)

    def ranking(self, events: Interactions | None) -> WeightedTerms:
        """The ranking with popularity and neighbours of some events."""
        if self.stored is not None:
            known = Interactions.none(self.content.space) if events is None else events
            is_weighed = "sequence" in self.stored.version.terms
            return self.stored.ranking(known, self.sequence if is_weighed else None)
        return unfitted_ranking(self.content, events, blend=self.blend, sequence=self.sequence)
