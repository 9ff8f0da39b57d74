"""Fit a sequence model to all events, compare it on held-out next items, and store it as the next version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderMismatchError, OptionalDependencyError, QueryError
from firstsight.heads.model_shelf import ModelShelf
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.baselines import Popularity
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.models.blend_scoring import standardise_rows
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.recommend.recommender import NextItem, Recommender
from firstsight.recommend.sequence.held_out import hold_out_next_items
from firstsight.recommend.sequence.query_vectors import QueryReader
from firstsight.recommend.sequence.sequence_recommender import EPOCHS_WITHOUT_HELD_OUT, SequenceRecommender
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.recommend.sequence.sequence_store import (
    SHELF_SPEC,
    SequenceVersion,
    StoredModel,
    make_row,
    parse_version,
    read_stored_model,
)
from firstsight.storage.store import Store

if TYPE_CHECKING:
    from firstsight.recommend.sequence.checkpoints import Checkpoint

EPOCHS_OF_UPDATES = 3
"""Epochs of an update with too few new events to hold any out."""

CHECKPOINT_FOLDER = "sequence-training"
"""Folder of the checkpoint in the database's folder."""

_RANKED = 10
_MEASURED_USERS = 256


def fit_sequence_model(
    store: Store,
    space: ItemSpace,
    train: Interactions,
    *,
    settings: SequenceSettings | None = None,
    from_version: int | None = None,
    fresh: bool = False,
    checkpoint: Path | None = None,
    encode: Callable[[Sequence[str]], Vectors] | None = None,
    use: bool | None = None,
    wait_s: float = 0.0,
    on_progress: Callable[[str], None] = lambda line: None,
) -> SequenceVersion:
    """Train a sequence model, measure it on held-out next items, and store it as the next version.

    One half of the held-out samples stops training, the other half measures. All events are then learned for as many
    epochs as were best.

    Args:
        store: the database.
        space: its items.
        train: the events on them.
        settings: of model and training; by default those of the version that training starts from.
        from_version: the version that training starts from; by default the one in use, if settings and encoder fit.
        fresh: start from random weights.
        checkpoint: folder for the state of the training; by default in the database's folder. A run that was killed
            continues from it.
        encode: the encoder's text tower, for searches; None to leave out searches whose vectors are not stored.
        use: put the new version into use; by default only if held-out samples say that it improves rankings.
        wait_s: maximum wait at the end for another process that is writing, in seconds.
        on_progress: called with lines on steps and epochs.

    Raises:
        QueryError: there are too few events, or the version to start from has another shape.
        EncoderMismatchError: the version to start from was fitted on vectors of another encoder.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database or the checkpoint cannot be written, or the version to start from is damaged.
    """
    from firstsight.recommend.sequence.process_group import join_process_group

    start = None if fresh else _start(store, settings, from_version, on_progress)
    settings = settings or (start.described.settings if start is not None else SequenceSettings())
    on_progress("reading titles and texts")
    texts = read_texts(store, space)
    words = WordSpace.fit(texts) if start is None else start.words
    content = content_vectors(space, words.transform(texts))
    reader = QueryReader(store, words, encode) if len(train.searches) else None
    folder = checkpoint or (None if store.folder is None else Path(store.folder) / CHECKPOINT_FOLDER)
    fit = _Fit(space, content, settings, reader, start, folder, on_progress)
    with join_process_group() as group:
        if not group.is_first:
            fit.on_progress = lambda line: None
        model, figures = fit.run(train)
        if not group.is_first:
            group.wait()  # for the first process to store
            return parse_version(ModelShelf(store, SHELF_SPEC).get())
        row = make_row(
            model,
            words,
            figures,
            fingerprint=store.spec.fingerprint,
            fitted_at=datetime.now(UTC),
            from_version=None if start is None else start.described.version,
            newest_event=int(train.times.max()),
        )
        in_use = improves_rankings(figures) if use is None else use
        shelf = ModelShelf(store, SHELF_SPEC)
        with store.writing(wait_s):
            stored = shelf.add([row])[0]
            if in_use:
                shelf.use([stored["version"]])
        fit.remove_checkpoints()
        group.wait()
    return parse_version(stored | {"in_use": in_use})


def improves_rankings(figures: dict[str, float]) -> bool:
    """Whether held-out NDCG@10 says that a model improves rankings: joined with the blend, or alone without a blend."""
    if "ndcg_blend" in figures:
        return max(figures["ndcg_joined"], figures["ndcg"]) > figures["ndcg_blend"]
    return "ndcg" not in figures or figures["ndcg"] > figures["ndcg_popularity"]


def _start(
    store: Store, settings: SequenceSettings | None, version: int | None, on_progress: Callable[[str], None]
) -> StoredModel | None:
    """The version to start from; None for random weights."""
    try:
        found = read_stored_model(store, version)
    except EncoderMismatchError:
        if version is not None:
            raise
        return None
    if found is None:
        return None
    own, number = found.described.settings, found.described.version
    shape = ("layers", "width", "heads", "events", "ids")
    different = [name for name in shape if settings is not None and getattr(settings, name) != getattr(own, name)]
    if own.ids:
        different.append("ids")  # the items with learned vectors change
    if not different:
        on_progress(f"starting from version {number}")
        return found
    if version is not None:
        raise QueryError(
            f"training cannot start from sequence model {number}: its {different[0]} is "
            f"{getattr(own, different[0])}; leave out --from-version to start afresh"
        )
    return None


class _Fit:
    """Training with held-out samples, then on all events."""

    def __init__(
        self,
        space: ItemSpace,
        content: Vectors,
        settings: SequenceSettings,
        reader: QueryReader | None,
        start: StoredModel | None,
        folder: Path | None,
        on_progress: Callable[[str], None],
    ) -> None:
        self._space, self._content, self._settings, self._reader = space, content, settings, reader
        self._start, self._folder, self.on_progress = start, folder, on_progress

    def run(self, train: Interactions) -> tuple[SequenceRecommender, dict[str, float]]:
        """The model of all events, and its figures."""
        after = None if self._start is None else self._start.newest_event
        kept, samples = hold_out_next_items(train, after_us=after, seed=self._settings.seed)
        figures: dict[str, float] = {
            "users": len(np.unique(train.users)),
            "items": int(np.count_nonzero(train.popularity())),
            "events": len(train),
            "searches": len(train.searches) if self._reader is not None else 0,
        }
        epochs = EPOCHS_WITHOUT_HELD_OUT if self._start is None else EPOCHS_OF_UPDATES
        if samples:
            stopping, measuring = samples[::2], samples[1::2]
            self.on_progress(f"training on {len(kept):,} events; {len(samples):,} are held out")
            chosen = self._model("held-out")
            chosen.fit(kept)
            chosen.select(stopping)
            assert chosen.trained is not None  # selected
            epochs = chosen.trained.epochs
            figures |= _compare(chosen, kept, self._content, measuring)
        else:
            self.on_progress("too few new events to hold any out: this version has no held-out figures")
        self.on_progress(f"training on all {len(train):,} events, {epochs} epochs")
        model = self._model("all", epochs)
        model.fit(train)
        model.learn()
        return model, figures | {"epochs": epochs}

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of the finished run."""
        for name in ("held-out", "all"):
            if (checkpoint := self._checkpoint(name)) is not None:
                checkpoint.remove()
        if self._folder is not None and self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _model(self, name: str, epochs: int | None = None) -> SequenceRecommender:
        return SequenceRecommender(
            self._space,
            self._content,
            self._settings,
            read_queries=self._reader,
            epochs=epochs,
            initial=None if self._start is None else self._start.weights,
            checkpoint=self._checkpoint(name),
            on_progress=self.on_progress,
        )

    def _checkpoint(self, name: str) -> Checkpoint | None:
        from firstsight.recommend.sequence.checkpoints import Checkpoint

        return None if self._folder is None else Checkpoint(self._folder / name)


def _compare(
    model: SequenceRecommender, kept: Interactions, content: Vectors, samples: Sequence[NextItem]
) -> dict[str, float]:
    """Held-out HR@10 and NDCG@10 of the model, of popularity, of the blend, and of blend and model joined."""
    popularity = Popularity()
    popularity.fit(kept)
    models: dict[str, Recommender] = {"": model, "_popularity": popularity}
    blend = Blend(content)
    with suppress(QueryError, OptionalDependencyError):  # too few events for a blend, or implicit is not installed
        blend.fit(kept)
        models["_blend"] = blend
    names = [*models, *(["_joined"] if "_blend" in models else [])]
    sums = {name: np.zeros(2) for name in names}
    candidates = np.arange(len(kept.space), dtype=np.int64)
    for start in range(0, len(samples), _MEASURED_USERS):
        batch = samples[start : start + _MEASURED_USERS]
        histories = [sample.history for sample in batch]
        items = np.array([sample.item for sample in batch], dtype=np.int64)
        scores = {name: one.scores(histories, candidates) for name, one in models.items()}
        if "_blend" in scores:
            scores["_joined"] = standardise_rows(scores["_blend"]) + standardise_rows(scores[""])
        for name in names:
            sums[name] += _hits_and_gains(scores[name], items)
    figures: dict[str, float] = {"samples": len(samples)}
    for name in names:
        figures[f"hr{name}"], figures[f"ndcg{name}"] = (float(value) / len(samples) for value in sums[name])
    return figures


def _hits_and_gains(scores: NDArray[np.float32], items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of hits in the first ten and of their gains; half of the ties stand before the item."""
    own = scores[np.arange(len(items)), items][:, None]
    ranks = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    hits = ranks < _RANKED
    return np.array([hits.sum(), (hits / np.log2(ranks + 2)).sum()])
