"""Training of the sequence model: softmax over warm items, early stopping on held-out next items."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim.adamw import adamw

from firstsight.errors import QueryError
from firstsight.recommend.sequence.checkpoints import Checkpoint, TrainingState
from firstsight.recommend.sequence.network import SequenceNetwork
from firstsight.recommend.sequence.process_group import ProcessGroup
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.recommend.sequence.token_sequences import TokenSequence, pad
from firstsight.recommend.sequence.training_windows import Window

RANKED = 10
"""Length of the rankings that early stopping measures."""

_EVALUATION_CELLS = 4_000_000  # scores in memory at one time: 16 MB
_SECONDS_BETWEEN_CHECKPOINTS = 15.0


@dataclass(frozen=True)
class TrainingData:
    """Events that a run learns from.

    Attributes:
        content: (n + q + 1, d) float32 of items, then queries, then a row of zeros.
        ids: (n + q + 1,) codes of learned item vectors, 0 for none.
        items: n, the number of items.
        warm: (w,) rows of items with events, ascending: the softmax is over them.
        windows: of all users.
        held_out: histories of held-out samples, with the start token.
        held_out_items: (s,) rows of the items that came next.
    """

    content: Tensor
    ids: Tensor
    items: int
    warm: NDArray[np.int64]
    windows: list[Window]
    held_out: list[TokenSequence]
    held_out_items: NDArray[np.int64]

    def key(self, settings: SequenceSettings, initial: dict[str, Tensor]) -> str:
        """Name the run: equal for equal settings, data and initial weights."""
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
        for window in self.windows:
            digest.update(window.tokens.rows.tobytes() + window.targets.tobytes() + window.tokens.types.tobytes())
        digest.update(self.held_out_items.tobytes() + self.warm.tobytes())
        for tensor in (self.content, *initial.values()):
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Trained:
    """Result of a run.

    Attributes:
        epochs: number of epochs behind the weights that were kept.
        hr, ndcg: held-out HR@10 and NDCG@10; 0 without held-out samples.
    """

    epochs: int
    hr: float
    ndcg: float


def train(
    network: SequenceNetwork,
    data: TrainingData,
    settings: SequenceSettings,
    group: ProcessGroup,
    *,
    checkpoint: Checkpoint | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Train a network in place; it ends with the weights of its best epoch.

    Without held-out samples it trains for `settings.epochs`. A run with a checkpoint continues it if settings, data and
    initial weights are those of the checkpoint, and ends the same as an uninterrupted one.

    Raises:
        QueryError: there is nothing to learn from, or the loss is not finite.
        StoreError: the checkpoint cannot be written.
    """
    if not data.windows or len(data.warm) < 2:
        raise QueryError("a sequence model needs events on at least two items; add events first: firstsight events add")
    network.to(group.device)
    group.share(network.state_dict().values())
    run = _Run(network, data, settings, group)
    state = TrainingState(data.key(settings, network.state_dict()))
    best = _copy(network)
    if checkpoint is not None and (found := checkpoint.load(state.key, run.tensors(best))):
        state, tensors = found
        best = run.restore(tensors)
        on_progress(f"continuing after epoch {state.epoch} of an earlier run")
    saved = time.monotonic()
    while state.epoch < settings.epochs and not _is_over(state, settings, data):
        loss = run.epoch(state.epoch)
        state = replace(state, epoch=state.epoch + 1)
        line = f"epoch {state.epoch}: loss {loss:.3f}"
        if data.held_out:
            hr, ndcg = run.evaluate()
            line += f", held-out HR@{RANKED} {hr:.4f}, NDCG@{RANKED} {ndcg:.4f}"
            if ndcg > state.best_ndcg:
                state, best = replace(state, best_epoch=state.epoch, best_hr=hr, best_ndcg=ndcg), _copy(network)
        else:
            state, best = replace(state, best_epoch=state.epoch), _copy(network)
        on_progress(line)
        if checkpoint is not None and group.is_first and time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.save(state, run.tensors(best))
            saved = time.monotonic()
    network.load_state_dict(best)
    network.eval()
    if checkpoint is not None and group.is_first:
        checkpoint.save(state, run.tensors(best))
    return Trained(state.best_epoch, state.best_hr, max(state.best_ndcg, 0.0))


def _is_over(state: TrainingState, settings: SequenceSettings, data: TrainingData) -> bool:
    return bool(data.held_out) and state.epoch - state.best_epoch >= settings.patience


def _copy(network: SequenceNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


class _Run:
    """The network, its optimizer and the data of one process."""

    def __init__(
        self, network: SequenceNetwork, data: TrainingData, settings: SequenceSettings, group: ProcessGroup
    ) -> None:
        self._network, self._data, self._settings, self._group = network, data, settings, group
        self._content, self._ids = data.content.to(group.device), data.ids.to(group.device)
        self._column = np.full(data.items, -1, dtype=np.int64)
        self._column[data.warm] = np.arange(len(data.warm))
        self._optimizer = _AdamW(network, settings)

    def tensors(self, best: dict[str, Tensor]) -> dict[str, Tensor]:
        """Everything that a checkpoint keeps."""
        kept = {f"best.{name}": tensor for name, tensor in best.items()}
        kept |= {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        return kept | self._optimizer.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take the state of a checkpoint; returns the weights of its best epoch."""
        with torch.no_grad():
            for name, tensor in self.tensors({}).items():
                tensor.copy_(tensors[name])
        best = {name: tensor for name, tensor in tensors.items() if name.startswith("best.")}
        return {name.removeprefix("best."): tensor.to(self._group.device) for name, tensor in best.items()}

    def epoch(self, number: int) -> float:
        """Pass over all windows once; the mean loss of a target."""
        settings, group = self._settings, self._group
        rng = np.random.default_rng([settings.seed, number])
        order = rng.permutation(len(self._data.windows))
        total, weight = 0.0, 0.0
        self._network.train()
        devices = [group.device] if group.device.startswith("cuda") else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(hash((settings.seed, number, group.rank)) % 2**63)
            for start in range(0, len(order), settings.batch):
                drawn = self._softmax_items(rng)
                batch = order[start : start + settings.batch][group.rank :: group.size]
                loss, weights = self._step([self._data.windows[row] for row in batch], drawn)
                total, weight = total + loss, weight + weights
        if not math.isfinite(total):
            raise QueryError(
                f"the loss of the sequence model is no number any more in epoch {number + 1}; give a lower "
                f"--learning-rate than {settings.learning_rate:g}"
            )
        return total / max(weight, 1e-9)

    def _softmax_items(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """Rows of sampled items, the same in every process; None for all warm items."""
        limit = self._settings.softmax_items
        return None if len(self._data.warm) <= limit else np.sort(rng.choice(self._data.warm, limit, replace=False))

    def _step(self, windows: list[Window], drawn: NDArray[np.int64] | None) -> tuple[float, float]:
        """Learn from a batch; the sums of losses and weights over all processes."""
        sums = torch.zeros(2, device=self._group.device)
        for parameter in self._network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        if windows:
            loss, weights = self._loss(windows, drawn)
            loss.backward()
            sums = torch.stack([loss.detach(), weights])
        gradients = [parameter.grad for parameter in self._network.parameters() if parameter.grad is not None]
        self._group.sum([sums, *gradients])
        for gradient in gradients:
            gradient /= sums[1].clamp(min=1e-9)
        self._optimizer.step()
        return float(sums[0]), float(sums[1])

    def _loss(self, windows: list[Window], drawn: NDArray[np.int64] | None) -> tuple[Tensor, Tensor]:
        """Weighted sum of the losses of all targets, and the sum of their weights."""
        network, device = self._network, self._group.device
        tokens = pad([window.tokens for window in windows], device)
        targets, weights = _padded(windows, tokens.rows.shape[1])
        places = torch.from_numpy(np.flatnonzero(targets >= 0)).to(device)
        rows = targets[targets >= 0]
        factor = torch.from_numpy(weights[targets >= 0]).to(device)
        states = network.states(network.read(self._content[tokens.rows]), self._ids[tokens.rows], tokens)
        users = states.flatten(0, 1)[places]
        if drawn is None:
            items = self._items(self._data.warm)
            right = torch.from_numpy(self._column[rows]).to(device)
            losses = functional.cross_entropy(network.logits(users, items), right, reduction="none")
        else:
            losses = self._sampled_losses(users, rows, drawn)
        return (losses * factor).sum(), factor.sum()

    def _sampled_losses(self, users: Tensor, rows: NDArray[np.int64], drawn: NDArray[np.int64]) -> Tensor:
        """Losses with a sample in the place of all wrong items: each stands for (w - 1) / sampled of them."""
        own, place = np.unique(rows, return_inverse=True)
        right = self._items(own)[torch.from_numpy(place).to(users.device)]
        scale = self._network.logits(torch.ones(1, 1, device=users.device), torch.ones(1, 1, device=users.device))
        positive = (users * right).sum(dim=-1, keepdim=True) * scale
        wrong = self._network.logits(users, self._items(drawn))
        wrong = wrong + math.log((len(self._data.warm) - 1) / len(drawn))
        is_own = torch.from_numpy(rows[:, None] == drawn[None, :]).to(users.device)
        logits = torch.cat([positive, wrong.masked_fill(is_own, -math.inf)], dim=1)
        return functional.cross_entropy(
            logits, torch.zeros(len(rows), dtype=torch.long, device=users.device), reduction="none"
        )

    def _items(self, rows: NDArray[np.int64]) -> Tensor:
        chosen = torch.from_numpy(rows).to(self._group.device)
        return self._network.items(self._content[chosen], self._ids[chosen])

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Held-out HR and NDCG over all items."""
        network, data = self._network, self._data
        network.eval()
        count = data.items
        items = torch.cat([self._items(part) for part in _chunks(count, 100_000)])
        own = np.arange(self._group.rank, len(data.held_out), self._group.size)
        sums = torch.zeros(3, device=self._group.device)
        for part in np.array_split(own, max(1, math.ceil(len(own) * count / _EVALUATION_CELLS))):
            if not len(part):
                continue
            tokens = pad([data.held_out[row] for row in part], self._group.device)
            states = network.states(network.read(self._content[tokens.rows]), self._ids[tokens.rows], tokens)
            scores = states[torch.arange(len(part), device=states.device), tokens.lengths - 1] @ items.T
            right = torch.from_numpy(data.held_out_items[part]).to(states.device)
            ranks = (scores > scores.gather(1, right[:, None])).sum(dim=1)
            hits = ranks < RANKED
            gains = torch.where(hits, 1 / torch.log2(ranks + 2.0), torch.zeros((), device=states.device))
            sums += torch.stack([hits.sum().float(), gains.sum(), hits.new_tensor(len(part), dtype=torch.float32)])
        self._group.sum([sums])
        return float(sums[0] / sums[2].clamp(min=1)), float(sums[1] / sums[2].clamp(min=1))


class _AdamW:
    """AdamW by torch's function: its class imports the compiler, which takes seconds and is not used here."""

    def __init__(self, network: SequenceNetwork, settings: SequenceSettings) -> None:
        self._settings = settings
        self._names = [name for name, _ in network.named_parameters()]
        self._parameters: list[Tensor] = list(network.parameters())
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [torch.zeros(()) for _ in self._parameters]

    def tensors(self) -> dict[str, Tensor]:
        """The state, for a checkpoint."""
        parts = {"mean": self._means, "square": self._squares, "step": self._steps}
        return {
            f"optimizer.{name}.{part}": tensor
            for part, tensors in parts.items()
            for name, tensor in zip(self._names, tensors, strict=True)
        }

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters against their gradients."""
        adamw(
            *(self._parameters, [parameter.grad for parameter in self._parameters if parameter.grad is not None]),
            *(self._means, self._squares, [], self._steps),
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._settings.learning_rate,
            weight_decay=self._settings.weight_decay,
            eps=1e-8,
            maximize=False,
        )


def _padded(windows: list[Window], length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Targets and weights of a batch, padded and flat."""
    targets = np.full((len(windows), length), -1, dtype=np.int64)
    weights = np.zeros((len(windows), length), dtype=np.float32)
    for row, window in enumerate(windows):
        targets[row, : len(window.targets)], weights[row, : len(window.targets)] = window.targets, window.weights
    return targets.reshape(-1), weights.reshape(-1)


def _chunks(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(count, start + size), dtype=np.int64)
