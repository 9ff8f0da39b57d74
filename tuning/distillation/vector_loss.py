"""The loss of a distillation."""

from __future__ import annotations

from torch import Tensor

NEIGHBOURS_WEIGHT = 1.0
SHARPNESS = 10.0


def vector_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compare vectors, and the similarities between the rows of a batch.

    The second part keeps neighbours: it is the cross-entropy of the teacher's similarities, as probabilities over the
    other rows, with the student's (Tejankar et al., "ISD", 2021, equation 3; Fang et al., "SEED", 2021, equation 4).

    Args:
        student: (n, dim) unit rows.
        teacher: (n, dim) unit rows.

    Returns:
        A scalar of 0 or more.
    """
    pull = (1 - (student * teacher).sum(dim=1)).mean()
    if len(student) < 3:
        return pull
    same = _others(teacher @ teacher.T * SHARPNESS).softmax(dim=1)
    found = _others(student @ teacher.T * SHARPNESS).log_softmax(dim=1)
    known = _others(teacher @ teacher.T * SHARPNESS).log_softmax(dim=1)
    return pull + NEIGHBOURS_WEIGHT * (same * (known - found)).sum(dim=1).mean()


def _others(scores: Tensor) -> Tensor:
    """Remove the diagonal of (n, n) scores: (n, n - 1)."""
    n = len(scores)
    return scores.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)
