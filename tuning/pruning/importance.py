"""Importance of heads and MLP units: how far the vectors move, to first order, if one is removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Arrays
from firstsight.encoders.starter.towers import HEAD_SIZE, MiniLM

BATCH: Final = 32
PROBES: Final = 4
"""Random directions of the output, over which the square of the change is averaged."""


@dataclass(frozen=True)
class TowerImportance:
    """Importance of each part of a text tower, 0 or more."""

    heads: tuple[NDArray[np.float64], ...]  # of each layer, (heads,)
    units: tuple[NDArray[np.float64], ...]  # of each layer, (MLP width,)


def measure_importance(
    tower: MiniLM, tokenize: Callable[[Sequence[str]], Arrays], texts: Sequence[str], *, seed: int = 0
) -> TowerImportance:
    """Measure the importance of heads and MLP units on texts.

    A gate of one multiplies the output of each part. The importance is the squared derivative of the unit vector by the
    gate, which is the squared change to first order if the gate closes: Michel et al., "Are sixteen heads really better
    than one?", 2019, equation 2, for heads; Molchanov et al., "Importance estimation for neural network pruning", 2019,
    equation 8, for units. Random directions of the vector take the place of a loss, since texts have no labels.

    Args:
        tower: the tower.
        tokenize: converts texts to ids and mask.
        texts: texts like those that the tower will encode.
        seed: of the directions.
    """
    generator = torch.Generator().manual_seed(seed)
    heads = [torch.zeros(count, dtype=torch.float64) for count, _ in tower.sizes]
    units = [torch.zeros(width, dtype=torch.float64) for _, width in tower.sizes]
    for start in range(0, len(texts), BATCH):
        ids, mask = (torch.from_numpy(array) for array in tokenize(texts[start : start + BATCH]))
        head_gates = [torch.ones(len(ids), len(h), requires_grad=True) for h in heads]
        unit_gates = [torch.ones(len(ids), len(u), requires_grad=True) for u in units]
        with _gated(tower, head_gates, unit_gates):
            vectors = functional.normalize(tower(ids, mask), dim=1)
        for probe in range(PROBES):
            directions = torch.randn(vectors.shape, generator=generator)
            gradients = torch.autograd.grad(
                (vectors * directions).sum(), [*head_gates, *unit_gates], retain_graph=probe + 1 < PROBES
            )
            for total, gradient in zip([*heads, *units], gradients, strict=True):
                total += gradient.double().square().sum(dim=0)
    count = PROBES * max(1, len(texts))
    return TowerImportance(
        tuple((total / count).numpy() for total in heads), tuple((total / count).numpy() for total in units)
    )


@contextmanager
def _gated(tower: MiniLM, head_gates: Sequence[Tensor], unit_gates: Sequence[Tensor]) -> Iterator[None]:
    """Multiply the heads and MLP units of each text, inside the context, by gates."""

    def multiply(gates: Tensor, repeats: int) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        return lambda module, inputs: (inputs[0] * gates.repeat_interleave(repeats, dim=1)[:, None, :],)

    handles = []
    for layer, heads, units in zip(tower.layers, head_gates, unit_gates, strict=True):
        handles.append(layer.get_submodule("out").register_forward_pre_hook(multiply(heads, HEAD_SIZE)))
        handles.append(layer.get_submodule("down").register_forward_pre_hook(multiply(units, 1)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
