"""Sequence models in the database: versions as safetensors and JSON, at most one of them in use.

A version stores the weights, and the words of the texts that its content vectors were made of. The content of items is
computed when a model is loaded, so that items indexed after the fit have scores as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderMismatchError, QueryError, StoreError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.recommend.sequence.query_vectors import QueryReader
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

if TYPE_CHECKING:
    from torch import Tensor

TABLE = "sequence_models"
FIT_COMMAND = "firstsight sequence fit"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("in_use", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder that made the content vectors
    pa.field("settings", pa.string(), nullable=False),  # JSON: SequenceSettings
    pa.field("figures", pa.string(), nullable=False),  # JSON: sizes of the training data, and held-out figures
    pa.field("from_version", pa.int64()),  # the version that training started from; null for random weights
    pa.field("newest_event", pa.int64(), nullable=False),  # microseconds since 1970
    pa.field("words", pa.list_(pa.string()), nullable=False),
    pa.field("id_items", pa.list_(pa.string()), nullable=False),  # items with a learned vector
    pa.field("weights", pa.large_binary(), nullable=False),  # safetensors
]
SCHEMA = pa.schema(_FIELDS)
SHELF_SPEC: ShelfSpec[dict[str, Any]] = ShelfSpec(
    TABLE,
    SCHEMA,
    flag="in_use",
    noun="sequence model",
    fit_command=FIT_COMMAND,
    to_row=dict,
    from_row=dict,  # a model needs the items as well: `load_sequence_model`
    listed=["version", "fitted_at", "in_use", "fingerprint", "settings", "figures", "from_version", "newest_event"],
)

_NETWORK, _IDF, _COMPONENTS = "network.", "words.idf", "words.components"


@dataclass(frozen=True)
class SequenceVersion(Record):
    """One fitted sequence model, as a list shows it.

    Attributes:
        version: 1 and up.
        fitted_at: UTC.
        in_use: whether rankings use it; at most one version is in use.
        from_version: the version that training started from; None for random weights.
        settings: of model and training.
        figures: `users`, `items`, `events` and `searches` of the training data, `epochs`, and the number of held-out
            `samples` with `hr` and `ndcg`, the held-out HR@10 and NDCG@10, and those of `popularity`, of the `blend`,
            and of both joined (`joined`), each as `hr_NAME` and `ndcg_NAME` where it could be measured.
    """

    version: int
    fitted_at: datetime
    in_use: bool
    from_version: int | None
    settings: SequenceSettings
    figures: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The version as JSON fields."""
        return {
            "version": self.version,
            "fitted_at": self.fitted_at.isoformat(),
            "in_use": self.in_use,
            "from_version": self.from_version,
            **self.settings.to_dict(),
            **self.figures,
        }


@dataclass(frozen=True)
class StoredModel:
    """A version with everything that a new version can start from.

    Attributes:
        described: as a list shows it.
        newest_event: time of the newest event that it learned, in microseconds since 1970.
        words: of its content vectors.
        weights: of the network, by name.
        id_items: ids of the items with a learned vector.
    """

    described: SequenceVersion
    newest_event: int
    words: WordSpace
    weights: Mapping[str, Tensor]
    id_items: Sequence[str]


def load_sequence_model(
    store: Store,
    space: ItemSpace,
    version: int | None = None,
    *,
    encode: Callable[[Sequence[str]], Vectors] | None = None,
) -> SequenceRecommender | None:
    """Load the sequence model in use for every item of a space; None if no model is in use.

    Reads all titles and texts: about a second for 10,000 items. Keep the model until the items or models change.

    Args:
        store: the database.
        space: its items.
        version: a version other than the one in use.
        encode: the encoder's text tower, for searches that are not in the table of query vectors; it is called only
            for a model that learned from searches. Without it such searches are left out.

    Returns:
        The model. Its `fit` learns other events with the same settings, for the same number of epochs.

    Raises:
        QueryError: there is no such version.
        EncoderMismatchError: the model was fitted on vectors of another encoder.
        StoreError: the stored model is damaged.
    """
    stored = read_stored_model(store, version)
    return None if stored is None else restore_model(store, space, stored, encode)


def restore_model(
    store: Store, space: ItemSpace, stored: StoredModel, encode: Callable[[Sequence[str]], Vectors] | None = None
) -> SequenceRecommender:
    """Make the recommender of a version over the items of a space; arguments and errors as `load_sequence_model`."""
    described = stored.described
    content = content_vectors(space, stored.words.transform(read_texts(store, space)))
    reader = QueryReader(store, stored.words, encode) if described.figures.get("searches", 0) else None
    model = SequenceRecommender(
        *(space, content, described.settings),
        read_queries=reader,
        epochs=int(described.figures["epochs"]),
        version=described.version,
    )
    try:
        model.load_weights(stored.weights, space.places(stored.id_items))
    except (ValueError, RuntimeError) as error:
        raise _damaged(store, described.version, str(error)) from None
    return model


def read_stored_model(store: Store, version: int | None = None) -> StoredModel | None:
    """Read a version and check its weights; None if no version is given and none is in use.

    Raises:
        QueryError: there is no such version.
        EncoderMismatchError: the model was fitted on vectors of another encoder.
        StoreError: the stored model is damaged.
    """
    from firstsight.recommend.sequence.weight_files import from_bytes

    row = ModelShelf(store, SHELF_SPEC).chosen(version)
    if row is None:
        return None
    if row["fingerprint"] != store.spec.fingerprint:
        raise EncoderMismatchError(
            f"sequence model {row['version']} was fitted on vectors of another encoder ({row['fingerprint'][:12]}); "
            f"fit it again: {FIT_COMMAND} --fresh"
        )
    described = parse_version(row)
    try:
        tensors = from_bytes(bytes(row["weights"]))
        count = len(row["words"])
        words = WordSpace(
            tuple(row["words"]),
            np.asarray(tensors.pop(_IDF).numpy(), dtype=np.float64).reshape(count),
            np.asarray(tensors.pop(_COMPONENTS).numpy(), dtype=np.float32).reshape(-1, max(1, count)),
        )
        weights = {name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items()}
        _check_weights(weights, described.settings, store.spec.dim + len(words.components), len(row["id_items"]))
    except KeyError as error:
        raise _damaged(store, row["version"], f"it lacks {error.args[0]}") from None
    except ValueError as error:
        raise _damaged(store, row["version"], str(error)) from None
    return StoredModel(described, int(row["newest_event"]), words, weights, tuple(row["id_items"]))


def make_row(
    model: SequenceRecommender,
    words: WordSpace,
    figures: Mapping[str, float],
    *,
    fingerprint: str,
    fitted_at: datetime,
    from_version: int | None,
    newest_event: int,
) -> dict[str, Any]:
    """The row of a trained model; the shelf gives it its version."""
    import torch

    from firstsight.recommend.sequence.weight_files import to_bytes

    tensors = {f"{_NETWORK}{name}": tensor for name, tensor in model.weights().items()}
    tensors[_IDF] = torch.from_numpy(np.asarray(words.idf, dtype=np.float64))
    tensors[_COMPONENTS] = torch.from_numpy(np.ascontiguousarray(words.components, dtype=np.float32))
    return {
        "fitted_at": fitted_at,
        "fingerprint": fingerprint,
        "settings": json.dumps(model.settings.to_dict()),
        "figures": dict(figures),
        "from_version": from_version,
        "newest_event": newest_event,
        "words": list(words.words),
        "id_items": model.space.item_ids[model.id_items].tolist(),
        "weights": to_bytes(tensors),
    }


def list_sequence_models(store: Store) -> list[SequenceVersion]:
    """List all versions, oldest first."""
    return [parse_version(row) for row in ModelShelf(store, SHELF_SPEC).versions()]


def use_sequence_model(store: Store, version: int | None, *, wait_s: float = 0.0) -> None:
    """Put a version into use instead of the present one; None for no version.

    Raises:
        QueryError: there is no such version.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    with store.writing(wait_s):
        ModelShelf(store, SHELF_SPEC).switch(version)


def sequence_model_state(store: Store) -> int:
    """Version of the table of sequence models, for caches; 0 if there are none."""
    return ModelShelf(store, SHELF_SPEC).state() or 0


def parse_version(row: Mapping[str, Any]) -> SequenceVersion:
    """A row as a list shows it.

    Raises:
        StoreError: its settings cannot be read.
    """
    try:
        settings = SequenceSettings(**json.loads(row["settings"]))
    except (ValueError, TypeError, QueryError):  # not JSON, or settings that this firstsight does not know
        raise StoreError(
            f"the settings of sequence model {row['version']} cannot be read: a newer firstsight wrote them; update "
            f"firstsight, or fit again: {FIT_COMMAND} --fresh"
        ) from None
    return SequenceVersion(
        row["version"], row["fitted_at"], row["in_use"], row["from_version"], settings, row["figures"]
    )


def _check_weights(
    weights: Mapping[str, Tensor], settings: SequenceSettings, content_width: int, id_count: int
) -> None:
    import torch

    from firstsight.recommend.sequence.network import SequenceNetwork
    from firstsight.recommend.sequence.weight_files import check_tensors

    with torch.device("meta"):
        network = SequenceNetwork(settings, content_width, id_count if settings.ids else 0)
    check_tensors(weights, network.state_dict())


def _damaged(store: Store, version: int, reason: str) -> StoreError:
    return StoreError(f"sequence model {version} of {store.uri} is damaged ({reason}); fit it again: {FIT_COMMAND}")
