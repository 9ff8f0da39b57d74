"""Tell trained weights from random ones by the spectrum of their matrices."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

MIN_TRAINED_EDGE: Final = 1.25
"""Edge ratio below which weights count as random: random weights have .98 to 1.0, the shipped text tower has 1.67."""


def edge_ratio(module: nn.Module) -> float:
    """Return how far the spectra of a module's matrices reach beyond those of random matrices of the same size.

    The singular values of a matrix of independent entries end at their standard deviation times (sqrt(rows) +
    sqrt(columns)), whatever the distribution (Marchenko and Pastur, 1967). Training adds directions beyond that edge
    (Martin and Mahoney, "Implicit self-regularization in deep neural networks", 2021, section 3).

    Args:
        module: its `nn.Linear` layers count.

    Returns:
        The median over the layers of the largest singular value, divided by the edge; 0 without a layer.
    """
    ratios = [_ratio(part.weight.detach().float()) for part in module.modules() if isinstance(part, nn.Linear)]
    return float(torch.tensor(ratios).median()) if ratios else 0.0


def _ratio(weight: Tensor) -> float:
    centred = weight - weight.mean()
    rows, columns = weight.shape
    edge = float(centred.std()) * (rows**0.5 + columns**0.5)
    return float(torch.linalg.matrix_norm(centred, ord=2)) / edge if edge > 0 else 0.0
