"""Settings of a tuning run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from firstsight.errors import EncoderError

Method = Literal["bridge", "lora", "lit", "full"]
"""What is trained: the bridge of `starter`; low-rank adapters (Hu et al., "LoRA", 2022) of both towers, or of the text
tower of `starter` together with its bridge; the text tower alone (Zhai et al., "LiT", 2022); every weight."""

METHODS: Final = ("bridge", "lora", "lit", "full")


@dataclass(frozen=True)
class TuneSettings:
    """Settings of a tuning run; None selects the default of the encoder's family.

    Raises:
        EncoderError: a value is out of range.
    """

    method: Method | None = None  # starter: bridge; others: lora
    share: float = 0.5  # of the tuned weights in the result, 0 to 1 (WiSE-FT)
    folds: int = 4  # of products, for the held-out figures
    seeds: int | None = None  # runs whose weights are averaged: 3 for the bridge alone, 1 for others
    steps: int | None = None  # updates of the weights
    batch_size: int | None = None  # pictures in one contrastive batch, on all processes together
    micro_batch: int | None = None  # pictures in memory with their gradients; None: 16 on a CPU, 128 on a GPU
    learning_rate: float | None = None
    lora_rank: int = 8
    hard_negatives: int = 0  # nearest wrong pictures of the same index that join each picture in its batch
    image_size: int | None = None  # side of starter's input picture in pixels, 64 to 512
    max_forgetting: float = 0.05  # greatest allowed loss of R@1 on general pictures, 0 to 1
    patience: int = 3  # checks of held-out retrieval without a gain until training stops
    checkpoint_steps: int = 50  # updates between checkpoints
    max_items: int = 5_000  # of the catalogue; of more items, whole products are drawn
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in METHODS:
            raise EncoderError(f"method {self.method!r} does not exist; choose {', '.join(METHODS)}")
        for name, low, high in (
            ("share", 0.0, 1.0),
            ("max_forgetting", 0.0, 1.0),
            ("folds", 2, 20),
            ("lora_rank", 1, 512),
            ("hard_negatives", 0, 64),
            ("patience", 1, 1_000),
            ("checkpoint_steps", 1, 1_000_000),
            ("max_items", 2, 10_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise EncoderError(f"{name} {value} is out of range; choose {low} to {high}")
        for name in ("seeds", "steps", "batch_size", "micro_batch", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise EncoderError(f"{name} {value} must be above 0")
