"""Gradients of one contrastive batch: in micro batches, over all processes, equal to those of the whole batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn

from firstsight.encoders.training.losses import sigmoid_loss, softmax_loss
from firstsight.recommend.sequence.process_group import ProcessGroup

Encode: TypeAlias = Callable[[range], Tensor]
"""Computes (n, dim) unit rows of these rows of a batch, with gradients."""


CLIP_SCALE: Final = 1 / 0.07
"""The first value of the scale in Radford et al., "CLIP", 2021."""

SIGLIP_SCALE: Final = 10.0
SIGLIP_BIAS: Final = -10.0
"""The first values in Zhai et al., "SigLIP", 2023."""

_LOWEST_SCALE: Final = 5.0


@dataclass(frozen=True)
class Objective:
    """The loss that a model was trained with.

    Scale and bias are the model's own and stay as they are: vectors do not depend on them, so a trained scale would
    lower the loss without a better vector, and the saved model keeps probabilities that it was calibrated for.

    Attributes:
        scale: of cosines, the inverse temperature.
        bias: of the pairwise sigmoid loss; None: softmax loss.
    """

    scale: float
    bias: float | None

    @classmethod
    def of(cls, network: nn.Module) -> Objective:
        """Read scale and bias of a network: `logit_scale` (a logarithm) or `temperature`, and `logit_bias`.

        Training only ever raises a scale, so one below the published first values was never trained, and these values
        replace it.
        """
        named = dict(network.named_parameters())
        bias = _number(named.get("logit_bias"))
        logarithm, temperature = _number(named.get("logit_scale")), _number(named.get("temperature"))
        scale = 0.0
        if logarithm is not None:
            scale = math.exp(logarithm)
        elif temperature is not None:
            scale = 1 / max(temperature, 1e-3)
        if scale < _LOWEST_SCALE:
            return cls(CLIP_SCALE, None) if bias is None else cls(SIGLIP_SCALE, SIGLIP_BIAS)
        return cls(scale, bias)

    def loss(self, pictures: Tensor, texts: Tensor, same: Tensor) -> Tensor:
        """Compute the loss of (n, dim) pictures and (m, dim) texts with (n, m) flags of the positives."""
        scores = pictures @ texts.T * self.scale
        return softmax_loss(scores, same) if self.bias is None else sigmoid_loss(scores + self.bias, same)


def _number(parameter: Tensor | None) -> float | None:
    return None if parameter is None else float(parameter.detach().reshape(-1)[0])


@dataclass(frozen=True)
class Side:
    """The pictures or the texts of a batch.

    Attributes:
        count: rows of the whole batch.
        encode: computes some of them.
        is_trained: whether `encode` has gradients.
    """

    count: int
    encode: Encode
    is_trained: bool = True


def add_gradients(
    pictures: Side,
    texts: Side,
    same: Tensor,
    objective: Objective,
    parameters: Sequence[nn.Parameter],
    group: ProcessGroup,
    micro_batch: int,
) -> float:
    """Set the gradients of the loss of a whole batch, the same on every process.

    Each process computes vectors of its share of the rows. All processes gather all vectors, compute the loss of the
    whole batch, and pass the gradient of their own rows back; then gradients are summed. A share larger than
    `micro_batch` is computed twice: first without gradients, then in parts, each with the gradient of its vectors
    (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021: gradient caching).

    Args:
        pictures, texts: the batch.
        same: (n, m) flags of the positives.
        objective: the loss.
        parameters: trained weights.
        group: the processes.
        micro_batch: rows whose activations are in memory at one time.

    Returns:
        The loss.
    """
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    sides = [_Rows(side, group, micro_batch) for side in (pictures, texts)]
    whole = [side.gather() for side in sides]
    loss = objective.loss(whole[0], whole[1], same)
    # without a trained side nothing would depend on a weight; the callers train at least the texts
    gradients = torch.autograd.grad(loss, whole)
    for side, gradient in zip(sides, gradients, strict=True):
        side.backward(gradient)
    group.sum([parameter.grad for parameter in parameters if parameter.grad is not None])
    return float(loss.detach())


class _Rows:
    """One side of a batch on this process."""

    def __init__(self, side: Side, group: ProcessGroup, micro_batch: int) -> None:
        self._side, self._group = side, group
        self._own = range(side.count * group.rank // group.size, side.count * (group.rank + 1) // group.size)
        self._parts = list(_split(self._own, micro_batch))
        self._kept: Tensor | None = None

    def gather(self) -> Tensor:
        """Return the vectors of all processes, as a leaf of the graph of the loss."""
        if len(self._parts) == 1 and self._side.is_trained:
            self._kept = self._side.encode(self._parts[0])
            own = [self._kept.detach()]
        else:
            with torch.no_grad():
                own = [self._side.encode(part) for part in self._parts]
        return gather_rows(own, self._own, self._side.count, self._group).requires_grad_()

    def backward(self, gradient: Tensor) -> None:
        """Add the gradients of the weights, given those of all vectors."""
        if not self._side.is_trained:
            return
        for part in self._parts:
            vectors = self._kept if self._kept is not None else self._side.encode(part)
            vectors.backward(gradient[part.start : part.stop])


def gather_rows(own: Sequence[Tensor], place: range, count: int, group: ProcessGroup) -> Tensor:
    """Gather the rows of all processes, in order.

    A sum in which every row but one's own is zero is exact, and unlike all_gather it takes shares of any size.

    Args:
        own: rows of this process; may be empty.
        place: their place among all rows.
        count: of all rows.
        group: the processes.
    """
    # a process without rows does not know their width
    width = torch.tensor([own[0].shape[1] if own else 0.0], device=group.device)
    if group.size > 1:
        torch.distributed.all_reduce(width, torch.distributed.ReduceOp.MAX)
    rows = torch.zeros(count, int(width), device=group.device)
    if own:
        rows[place.start : place.stop] = torch.cat(list(own)).to(rows)
    group.sum([rows])
    return rows


def _split(rows: range, size: int) -> Iterator[range]:
    for start in range(rows.start, rows.stop, size):
        yield range(start, min(start + size, rows.stop))
