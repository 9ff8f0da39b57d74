"""The seam between a tuning run and the networks that it trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from firstsight.encoders.base import Vectors


class TunedWeights(Protocol):
    """The result of one training: base weights, tuned weights, and every mixture of the two.

    `share` is the share of the tuned weights: 0 gives the vectors of the encoder before the tuning (Wortsman et al.,
    "Robust fine-tuning of zero-shot models", 2022: WiSE-FT).
    """

    def encode_pictures(self, rows: Sequence[int], share: float) -> Vectors:
        """Return (n, dim) unit rows for these rows of `TuningData.pictures`."""
        ...

    def encode_general_pictures(self, share: float) -> Vectors:
        """Return (g, dim) unit rows for the pictures of the forgetting check, which the trainer was made with."""
        ...

    def encode_texts(self, texts: Sequence[str], share: float) -> Vectors:
        """Return (n, dim) unit rows."""
        ...

    def save(self, folder: Path, share: float) -> str:
        """Write an ordinary model, adapters merged, and return its name for `load_encoder`."""
        ...


class Trainer(Protocol):
    """Trains one encoder on the items of a catalogue; caches what does not change between trainings."""

    def fit(
        self, items: Sequence[int], held_out: Sequence[int], *, label: str, on_progress: Callable[[str], None]
    ) -> TunedWeights:
        """Train, with the seeds averaged.

        Args:
            items: rows of `TuningData.items` to learn from.
            held_out: rows for early stopping; empty: train for all steps. They share no product with `items`.
            label: names the training in checkpoints and logs, such as "fold 1" or "final".
            on_progress: receives one line for each step worth telling.
        """
        ...
