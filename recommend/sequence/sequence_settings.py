"""Settings of the sequence model and of its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from firstsight.errors import QueryError
from firstsight.records import Record


@dataclass(frozen=True)
class SequenceSettings(Record):
    """Shape and training of a sequence model. The defaults were chosen on validation samples (docs/sequence.md).

    Attributes:
        layers: blocks of self-attention, 1 and up.
        width: numbers in each state and each projected item, a multiple of `heads`.
        heads: of the self-attention.
        events: newest events and searches of a history that are read, 2 and up.
        ids: add a learned vector for each item that had events. It overfits small logs.
        dropout: share of the inputs and activations that training leaves out, 0 to 1.
        content_dropout: share of the content numbers that training leaves out, 0 to 1.
        learning_rate: of AdamW, above 0.
        weight_decay: of AdamW.
        batch: windows of histories in each step.
        epochs: maximum number of passes over the events.
        patience: epochs without a better held-out NDCG@10 after which training stops.
        softmax_items: maximum number of items in the softmax; above it, each step samples as many.
        seed: of initial weights, order, dropout and samples.
    """

    layers: int = 2
    width: int = 64
    heads: int = 2
    events: int = 50
    ids: bool = False
    dropout: float = 0.3
    content_dropout: float = 0.3
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    batch: int = 256
    epochs: int = 100
    patience: int = 10
    softmax_items: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            QueryError: a setting is out of range.
        """
        ranges: dict[str, tuple[float, float]] = {
            "layers": (1, 16),
            "width": (4, 1024),
            "heads": (1, 64),
            "events": (2, 1000),
            "dropout": (0, 0.9),
            "content_dropout": (0, 0.9),
            "learning_rate": (1e-6, 1),
            "weight_decay": (0, 1),
            "batch": (1, 100_000),
            "epochs": (1, 10_000),
            "patience": (1, 10_000),
            "softmax_items": (2, 10_000_000),
            "seed": (0, 2**31 - 1),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise QueryError(f"{name} {value} of a sequence model is out of range; give {low:g} to {high:g}")
        if self.width % self.heads:
            raise QueryError(f"width {self.width} is not a multiple of heads {self.heads}; change one of them")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON fields."""
        return asdict(self)
