"""Projected item vectors in the database, so that LanceDB retrieves candidates for a user's vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderMismatchError, QueryError
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.text_vectors import MAX_CHARACTERS, content_vectors
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.sequence.sequence_store import FIT_COMMAND, StoredModel, read_stored_model
from firstsight.records import Record
from firstsight.storage.indexes.upkeep import run_upkeep
from firstsight.storage.projection_column import projected_version, write_projections
from firstsight.storage.store import Store


@dataclass(frozen=True)
class ProjectedItems(Record):
    """Items whose vectors a projection wrote."""

    version: int  # of the sequence model
    items: int  # that got a vector
    width: int  # numbers in a vector


def project_items(store: Store) -> ProjectedItems:
    """Write the vectors of the sequence model in use to the column `sequence_vector` of the items.

    The first projection of a version writes every row, which leaves the indexes until the upkeep that follows. Later
    ones write only new and changed items. The caller holds the writer lock.

    Raises:
        QueryError: no sequence model is in use.
        EncoderMismatchError: the model was fitted on vectors of another encoder.
        StoreError: the stored model is damaged, or the database cannot be written.
    """
    stored = read_stored_model(store)
    if stored is None:
        raise QueryError(f"no sequence model of {store.uri} is in use; fit one: {FIT_COMMAND}")
    version, width = stored.described.version, stored.described.settings.width
    written = write_projections(store, version, width, _Projection(stored))
    if written:
        run_upkeep(store)
    return ProjectedItems(version, written, width)


def project_new_items(store: Store) -> None:
    """Project items that are newer than the last projection, if there was one; the caller holds the writer lock.

    With a model of another encoder, after a switch or a rollback, nothing is written.
    """
    version = projected_version(store)
    if version is None:
        return
    try:
        stored = read_stored_model(store)
    except EncoderMismatchError:
        return
    if stored is not None and stored.described.version == version:
        write_projections(store, version, stored.described.settings.width, _Projection(stored))


class _Projection:
    """Projects items with the network of a version."""

    def __init__(self, stored: StoredModel) -> None:
        self._stored = stored

    def __call__(self, item_ids: Sequence[str], vectors: Vectors, texts: Sequence[str]) -> Vectors:
        space = ItemSpace.of(item_ids, vectors)
        order = space.places(item_ids)
        sorted_texts = [""] * len(texts)
        for place, text in zip(order, texts, strict=True):
            sorted_texts[place] = text[:MAX_CHARACTERS]
        content = content_vectors(space, self._stored.words.transform(sorted_texts))
        model = SequenceRecommender(space, content, self._stored.described.settings)
        model.load_weights(self._stored.weights, space.places(self._stored.id_items))
        return model.item_vectors()[order]
