"""The sequence model as a recommender: trained at its first use, then milliseconds for a batch of users."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.recommender import NextItem
from firstsight.recommend.sequence.held_out import hold_out_next_items
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.recommend.sequence.token_sequences import TokenSequence, begin, kind_codes, pad, token_sequence
from firstsight.recommend.sequence.training_windows import make_windows

if TYPE_CHECKING:
    from torch import Tensor

    from firstsight.recommend.sequence.checkpoints import Checkpoint
    from firstsight.recommend.sequence.network import SequenceNetwork
    from firstsight.recommend.sequence.training import Trained, TrainingData

ReadQueries = Callable[[Sequence[str]], Vectors]
"""Reads texts of searches: (q, d) float32 content vectors, rows of zeros for texts without one."""

MAX_HELD_OUT = 5_000
"""Maximum number of samples that early stopping measures after each epoch."""

EPOCHS_WITHOUT_HELD_OUT = 20
"""Epochs for a log that is too small to hold anything out."""

_USERS_PER_BATCH = 512


@dataclass(frozen=True)
class UserVectors:
    """Vectors of users in the space of projected items.

    Attributes:
        short_term: (u, width) float32 unit rows, the last state: its cosine with an item's vector orders the items.
        long_term: (u, width) float32, unit mean of the projected items of the whole history, by the weights of the
            events; zeros for an empty history.
    """

    short_term: Vectors
    long_term: Vectors


@dataclass(frozen=True)
class _Learned:
    """A trained network, and what it says about all items of the space."""

    network: SequenceNetwork
    read: Tensor  # (n + 1, width) read content of the items, and of no content
    ids: Tensor  # (n + 1,) codes of learned item vectors
    items: Tensor  # (n, width) unit rows
    scale: float


class SequenceRecommender:
    """A `Recommender` that reads the order of events, types, times and searches.

    Training is put off to the first call of `select` or `scores`, so that it happens once. `select` stops it by
    validation samples; without it, the last events of some users stop it, and all events are then learned for the same
    number of epochs.

    Source: Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018, on content vectors.
    """

    name = "sequence"

    def __init__(
        self,
        space: ItemSpace,
        content: Vectors,
        settings: SequenceSettings | None = None,
        *,
        read_queries: ReadQueries | None = None,
        epochs: int | None = None,
        initial: Mapping[str, Tensor] | None = None,
        version: int | None = None,
        checkpoint: Checkpoint | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        """
        Args:
            space: the items.
            content: (n, d) unit rows in the order of the space.
            settings: of model and training.
            read_queries: reads searches; without it they are left out.
            epochs: number of epochs for `fit`, chosen earlier; None to choose them on held-out events.
            initial: weights to start from, instead of random ones.
            version: of the stored model; None for one that is not stored.
            checkpoint: of the training.
            on_progress: called with a line after each epoch.
        """
        self.space, self.settings = space, settings or SequenceSettings()
        self.trained: Trained | None = None
        self.version = version
        self._content, self._read_queries = content, read_queries
        self._epochs, self._initial = epochs, initial
        self._checkpoint, self._on_progress = checkpoint, on_progress
        self._kinds = kind_codes(space.kinds)
        self._train: Interactions | None = None
        self._learned: _Learned | None = None

    def fit(self, train: Interactions) -> None:
        """Take the events; they are learned at the first call of `select` or `scores`."""
        self._train, self._learned, self.trained = train, None, None

    def select(self, validation: Sequence[NextItem]) -> None:
        """Learn the events, and stop at the best NDCG@10 of the samples.

        Raises:
            QueryError: the model is not fitted, or there are events on fewer than two items.
        """
        self._learn(self._fitted(), validation, self.settings)

    def learn(self) -> None:
        """Learn the events now, unless they are already learned.

        Raises:
            QueryError: the model is not fitted, or there are events on fewer than two items.
        """
        if self._learned is not None:
            return
        train, epochs = self._fitted(), self._epochs
        if epochs is None:
            kept, samples = hold_out_next_items(train, seed=self.settings.seed)
            epochs = EPOCHS_WITHOUT_HELD_OUT
            if samples:
                self._learn(kept, samples, self.settings)
                assert self.trained is not None
                epochs = self.trained.epochs
                self._on_progress(f"learning all events for {epochs} epochs")
        chosen = self.trained
        self._learn(train, (), replace(self.settings, epochs=max(1, min(epochs, self.settings.epochs))))
        if chosen is not None:
            self.trained = chosen

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scaled cosines of users and items; 0 for items without content and learned vector.

        Raises:
            QueryError: the model is not fitted, or there are events on fewer than two items.
        """
        import torch

        self.learn()
        learned = self._known()
        with torch.inference_mode():
            items = learned.items[torch.from_numpy(np.asarray(candidates, dtype=np.int64))]
            rows = [states @ items.T for states in self._states(users)]
            return (torch.cat(rows) * learned.scale).numpy() if rows else np.empty((0, len(candidates)), np.float32)

    def user_vectors(self, users: Sequence[History]) -> UserVectors:
        """Vectors of users in the space of projected items."""
        import torch

        self.learn()
        width = self.settings.width
        with torch.inference_mode():
            short = [np.empty((0, width), dtype=np.float32), *(states.numpy() for states in self._states(users))]
        items = self.item_vectors()
        long = np.zeros((len(users), width), dtype=np.float32)
        for row, history in zip(long, users, strict=True):
            mean = history.weights @ items[history.items]
            row[:] = mean / max(float(np.linalg.norm(mean)), 1e-9)
        return UserVectors(np.concatenate(short), long)

    def item_vectors(self) -> Vectors:
        """(n, width) float32 projected items: unit rows; zeros for items without content and learned vector."""
        self.learn()
        return np.asarray(self._known().items.numpy())

    def weights(self) -> dict[str, Tensor]:
        """The weights of the trained network, by name."""
        self.learn()
        return dict(self._known().network.state_dict())

    @property
    def id_items(self) -> Places:
        """Rows of the items with a learned vector, in the order of its code; none without `settings.ids`."""
        ids = self._known().ids.numpy()[:-1]
        rows = np.flatnonzero(ids)
        return rows[np.argsort(ids[rows])]

    def load_weights(self, weights: Mapping[str, Tensor], id_items: Places) -> None:
        """Take the weights of a stored version.

        Args:
            weights: by name, as `weights` returns them.
            id_items: rows of the items with a learned vector; -1 for items that were removed.
        """
        network = self._make_network(len(id_items))
        network.load_state_dict(dict(weights))
        self._finish(network, self._id_codes(id_items))

    # ---- inside

    def _fitted(self) -> Interactions:
        if self._train is None:
            raise QueryError("the sequence model has no events yet; fit it first")
        return self._train

    def _known(self) -> _Learned:
        if self._learned is None:
            raise QueryError("the sequence model has no weights yet; fit it first")
        return self._learned

    def _make_network(self, id_count: int) -> SequenceNetwork:
        import torch

        from firstsight.recommend.sequence.network import SequenceNetwork

        with torch.random.fork_rng([]):
            torch.manual_seed(self.settings.seed)
            return SequenceNetwork(self.settings, self._content.shape[1], id_count if self.settings.ids else 0)

    def _id_codes(self, id_items: Places) -> NDArray[np.int64]:
        codes = np.zeros(len(self.space), dtype=np.int64)
        if self.settings.ids:
            codes[id_items[id_items >= 0]] = 1 + np.flatnonzero(id_items >= 0)
        return codes

    def _learn(self, train: Interactions, held_out: Sequence[NextItem], settings: SequenceSettings) -> None:
        from firstsight.recommend.sequence.process_group import join_process_group
        from firstsight.recommend.sequence.training import train as run

        data = self._training_data(train, held_out)
        network = self._make_network(len(data.warm))
        if self._initial is not None:
            network.load_state_dict(dict(self._initial))
        with join_process_group() as group:
            self.trained = run(
                network,
                data,
                settings,
                group,
                checkpoint=self._checkpoint,
                on_progress=self._on_progress if group.is_first else lambda line: None,
            )
        self._finish(network, data.ids.numpy()[: len(self.space)])

    def _training_data(self, train: Interactions, held_out: Sequence[NextItem]) -> TrainingData:
        import torch

        from firstsight.recommend.sequence.training import TrainingData

        samples = list(held_out)
        if len(samples) > MAX_HELD_OUT:
            drawn = np.random.default_rng(self.settings.seed).choice(len(samples), MAX_HELD_OUT, replace=False)
            samples = [samples[row] for row in np.sort(drawn)]
        texts = [str(text) for text in train.searches.texts]
        texts += [str(text) for sample in samples for text in sample.history.searches.texts]
        query_row, queries = self._read(texts)
        limit = self.settings.events
        windows, warm = make_windows(train, limit, query_row)
        sequences = [self._tokens(sample.history, query_row) for sample in samples]
        content = np.concatenate([self._content, queries, np.zeros((1, self._content.shape[1]), np.float32)])
        ids = np.zeros(len(content), dtype=np.int64)
        ids[: len(self.space)] = self._id_codes(warm)
        items = np.array([sample.item for sample in samples], dtype=np.int64)
        return TrainingData(
            *(torch.from_numpy(content), torch.from_numpy(ids), len(self.space), warm, windows, sequences, items)
        )

    def _finish(self, network: SequenceNetwork, ids: NDArray[np.int64]) -> None:
        """Keep a trained network, with all items projected."""
        import torch

        network.to("cpu").eval()
        codes = torch.from_numpy(np.append(ids, 0))
        with torch.inference_mode():
            read, items = [], []
            for start in range(0, len(self.space), 50_000):
                part = torch.from_numpy(np.ascontiguousarray(self._content[start : start + 50_000]))
                own = codes[start : start + len(part)]
                read.append(network.read(part))
                known = (part.abs().amax(dim=1) > 0) | (own > 0)
                items.append(network.items(part, own) * known[:, None])
            read.append(network.read(torch.zeros(1, self._content.shape[1])))
            scale = math.exp(min(float(network.scale), math.log(100)))
            self._learned = _Learned(network, torch.cat(read), codes, torch.cat(items), scale)

    def _states(self, users: Sequence[History]) -> list[Tensor]:
        """The last states of users, in batches."""
        import torch

        learned, batches = self._known(), []
        for start in range(0, len(users), _USERS_PER_BATCH):
            batch = users[start : start + _USERS_PER_BATCH]
            query_row, queries = self._read([str(t) for h in batch for t in h.searches.texts[-self.settings.events :]])
            tokens = pad([self._tokens(history, query_row) for history in batch])
            read, ids = learned.read, learned.ids
            if len(queries):  # between the items and the row of no content
                read = torch.cat([read[:-1], learned.network.read(torch.from_numpy(queries)), read[-1:]])
                ids = torch.cat([ids, torch.zeros(len(queries), dtype=ids.dtype)])
            states = learned.network.states(read[tokens.rows], ids[tokens.rows], tokens)
            batches.append(states[torch.arange(len(batch)), tokens.lengths - 1])
        return batches

    def _tokens(self, history: History, query_row: Callable[[str], int] | None) -> TokenSequence:
        return begin(token_sequence(history, self._kinds, query_row, limit=self.settings.events - 1))

    def _read(self, texts: Sequence[str]) -> tuple[Callable[[str], int] | None, Vectors]:
        """Content rows of texts, after those of the items, and the vectors of these rows."""
        if self._read_queries is None or not len(texts):
            return None, np.empty((0, self._content.shape[1]), dtype=np.float32)
        distinct = sorted(set(texts))
        vectors = np.asarray(self._read_queries(distinct), dtype=np.float32)
        kept = np.flatnonzero(np.abs(vectors).max(axis=1, initial=0) > 0)
        rows = {distinct[place]: len(self.space) + row for row, place in enumerate(kept)}
        return lambda text: rows.get(text, -1), vectors[kept]
