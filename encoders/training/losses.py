"""Contrastive losses with several positives in a row."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def softmax_loss(scores: Tensor, same: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Compute the softmax loss in both directions, with all positives of a row in the numerator.

    Source: Radford et al., "CLIP", 2021; all positives inside the logarithm as in Miech et al., "MIL-NCE",
    2020, equation 1. Rows or columns without a positive do not count.

    Args:
        scores: (n, m) similarities, already multiplied by the inverse temperature.
        same: (n, m) flags of the positives.
        ignored: (n, m) flags of pairs that are neither positive nor negative.

    Returns:
        The mean over both directions, a scalar of 0 or more.
    """
    if ignored is not None:
        scores = scores.masked_fill(ignored, -torch.inf)
    losses = []
    for matrix, positives in ((scores, same), (scores.T, same.T)):
        counted = positives.any(dim=1)
        matrix, positives = matrix[counted], positives[counted]
        hits = torch.logsumexp(matrix.masked_fill(~positives, -torch.inf), dim=1)
        losses.append((torch.logsumexp(matrix, dim=1) - hits).mean())
    return (losses[0] + losses[1]) / 2


def sigmoid_loss(scores: Tensor, same: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Compute the pairwise sigmoid loss (Zhai et al., "SigLIP", 2023, equation 1).

    Args:
        scores: (n, m) logits, with the model's scale and bias applied.
        same: (n, m) flags of the positives.
        ignored: (n, m) flags of pairs that do not count.

    Returns:
        The sum over the pairs divided by n, a scalar of 0 or more.
    """
    signs = same.to(scores.dtype) * 2 - 1
    losses = -functional.logsigmoid(signs * scores)
    if ignored is not None:
        losses = losses.masked_fill(ignored, 0.0)
    return losses.sum() / len(scores)
