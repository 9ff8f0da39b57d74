"""A bridge for a smaller input picture: learns the teacher's vectors of the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Vectors
from firstsight.encoders.starter.bridge import TEMPERATURE, Bridge
from firstsight.tuning.distillation.rate_schedule import warm_cosine
from firstsight.tuning.distillation.vector_loss import vector_loss

LEARNING_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.05
NOISE: Final = 0.3  # standard deviation, relative to the deviation of each feature
BATCH: Final = 128
DEVIATION_FLOOR: Final = 1e-3


class _StudentBridge(nn.Module):
    """The teacher's bridge plus trained changes, which act on standardised features and start at zero."""

    def __init__(self, weights: dict[str, NDArray[np.float32]], features: Tensor) -> None:
        super().__init__()
        for name in ("class_vectors", "linear", "hidden", "hidden_bias", "out", "out_bias"):
            self.register_buffer(name, torch.from_numpy(weights[name].copy()))
        self.register_buffer("mean", features.mean(dim=0))
        self.register_buffer("deviation", features.std(dim=0) + DEVIATION_FLOOR)
        width, hidden, dim = features.shape[1], weights["hidden"].shape[1], weights["out"].shape[1]
        self.linear_change = nn.Parameter(torch.zeros(width, dim))
        self.hidden_change = nn.Parameter(torch.zeros(width + dim, hidden))
        self.hidden_bias_change = nn.Parameter(torch.zeros(hidden))
        self.out_change = nn.Parameter(torch.zeros(hidden, dim))
        self.out_bias_change = nn.Parameter(torch.zeros(dim))

    def forward(self, features: Tensor, start: Tensor) -> Tensor:
        """Map (n, 1280) features and (n, 384) starts to (n, 384) unit rows."""
        w = self.weights()
        inner = torch.cat([features, start], dim=1) @ w["hidden"] + w["hidden_bias"]
        change = features @ w["linear"] + functional.relu(inner) @ w["out"] + w["out_bias"]
        return functional.normalize(start + change, dim=1)

    def weights(self) -> dict[str, Tensor]:
        """The weights for raw features: the scales of the standardisation are folded in."""
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        width, dim = self.linear_change.shape
        linear = self.linear_change / deviation[:, None] * width**-0.5
        hidden = torch.cat([self.hidden_change[:width] / deviation[:, None], self.hidden_change[width:] * dim**0.5])
        hidden_bias = self.hidden_bias_change - mean @ hidden[:width]
        out_bias = self.out_bias_change - mean @ linear
        return {
            "linear": self.get_buffer("linear") + linear,
            "hidden": self.get_buffer("hidden") + hidden,
            "hidden_bias": self.get_buffer("hidden_bias") + hidden_bias,
            "out": self.get_buffer("out") + self.out_change,
            "out_bias": self.get_buffer("out_bias") + out_bias,
        }


def distil_bridge(
    teacher: Bridge,
    features: NDArray[np.float32],
    logits: NDArray[np.float32],
    targets: Vectors,
    *,
    steps: int,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Bridge:
    """Train a bridge on outputs of the picture tower at a smaller size.

    Args:
        teacher: the bridge to start from.
        features: (n, 1280) pooled features of the student's pictures.
        logits: (n, 1000) logits of the student's pictures.
        targets: (n, 384) the teacher's vectors of the same pictures, unit rows.
        steps: updates of the weights.
        seed: of batches and noise.
        on_progress: receives one line.

    Returns:
        The student's bridge.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    raw, wanted = torch.from_numpy(features), torch.from_numpy(targets)
    classes = torch.from_numpy(teacher.weights["class_vectors"])
    start = functional.normalize(torch.softmax(torch.from_numpy(logits) / TEMPERATURE, dim=1) @ classes, dim=1)
    student = _StudentBridge(teacher.weights, raw)
    deviation = student.get_buffer("deviation")
    optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = warm_cosine(optimizer, steps)
    for _ in range(steps):
        rows = torch.randperm(len(raw), generator=generator)[:BATCH]
        noise = NOISE * deviation * torch.randn(len(rows), raw.shape[1], generator=generator)
        loss = vector_loss(student(raw[rows] + noise, start[rows]), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    on_progress(f"distilled the bridge on {len(raw):,} pictures in {steps:,} steps")
    with torch.inference_mode():
        changed = {name: value.numpy() for name, value in student.weights().items()}
    return Bridge(teacher.weights | changed)
