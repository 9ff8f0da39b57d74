"""Settings of one training of a network, with the defaults filled in."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final, Literal

from firstsight.errors import EncoderError
from firstsight.tuning.tune_settings import TuneSettings

NetworkMethod = Literal["lora", "lit", "full"]

LEARNING_RATES: Final[dict[NetworkMethod, float]] = {"lora": 3e-4, "lit": 2e-5, "full": 1e-5}
WEIGHT_DECAYS: Final[dict[NetworkMethod, float]] = {"lora": 0.01, "lit": 0.1, "full": 0.1}

_EPOCHS: Final = 4  # passes over the pictures, if the steps are not given
_MIN_STEPS, _MAX_STEPS = 40, 4_000
_BATCH: Final = {"cpu": 64, "gpu": 512}
_MICRO_BATCH: Final = {"cpu": 16, "gpu": 128}  # on a CPU, ViT-B-32 takes about 65 MB per pair


@dataclass(frozen=True)
class NetworkSettings:
    """Settings that decide the result of a training, together with data and encoder.

    Attributes:
        steps: updates of the weights; None: by the number of pictures (`steps_for`).
        batch_size: pictures in one contrastive batch, on all processes together.
        micro_batch: pictures or texts whose activations are in memory at one time, on each process.
        learning_rate: the highest one.
        seeds: trainings whose weights are averaged.
    """

    method: NetworkMethod
    steps: int | None
    batch_size: int
    micro_batch: int
    learning_rate: float
    weight_decay: float
    lora_rank: int
    hard_negatives: int
    patience: int
    seeds: int
    seed: int

    @classmethod
    def of(cls, settings: TuneSettings, *, encoder: str, on_gpu: bool) -> NetworkSettings:
        """Fill in the defaults.

        Raises:
            EncoderError: a setting belongs to `starter` only, or a batch is too small for its hard negatives.
        """
        method = settings.method or "lora"
        if method == "bridge":
            raise EncoderError(f"method 'bridge' trains starter's bridge; {encoder} has none: choose lora, lit or full")
        if settings.image_size is not None:
            raise EncoderError(
                f"image_size {settings.image_size} is for starter; {encoder} keeps its own size: leave it out"
            )
        kind = "gpu" if on_gpu else "cpu"
        batch_size = settings.batch_size or _BATCH[kind]
        if batch_size < settings.hard_negatives + 2:
            raise EncoderError(
                f"batch_size {batch_size} is too small for {settings.hard_negatives} hard negatives of each picture; "
                f"give at least {settings.hard_negatives + 2}"
            )
        return cls(
            method=method,
            steps=settings.steps,
            batch_size=batch_size,
            micro_batch=settings.micro_batch or _MICRO_BATCH[kind],
            learning_rate=settings.learning_rate or LEARNING_RATES[method],
            weight_decay=WEIGHT_DECAYS[method],
            lora_rank=settings.lora_rank,
            hard_negatives=settings.hard_negatives,
            patience=settings.patience,
            seeds=settings.seeds or 1,
            seed=settings.seed,
        )

    def steps_for(self, pictures: int) -> int:
        """Return the number of updates for a number of training pictures."""
        if self.steps is not None:
            return self.steps
        return min(max(math.ceil(_EPOCHS * pictures / self.batch_size), _MIN_STEPS), _MAX_STEPS)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the rate of update `step`, 0 to `steps` - 1: a linear warm-up over a tenth, then half a cosine."""
        warm_up = max(1, min(steps // 10, 200))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))

    def as_text(self) -> str:
        """Return all settings in one stable text, for digests."""
        return repr(sorted(asdict(self).items()))
