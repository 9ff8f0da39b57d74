"""The learning rate over a distillation."""

from __future__ import annotations

import math
from typing import Final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARM_UP: Final = 0.1
"""Share of the steps in which the rate rises."""


def warm_cosine(optimizer: Optimizer, steps: int) -> LambdaLR:
    """Let the rate rise linearly, then fall to zero along a cosine; for any number of steps from 1."""
    return LambdaLR(optimizer, lambda step: rate_share(step, steps))


def rate_share(step: int, steps: int) -> float:
    """Share of the full rate at a step, 0 to 1."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))
