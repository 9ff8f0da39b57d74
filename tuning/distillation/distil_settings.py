"""Settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firstsight.encoders.starter.starter_model import IMAGE_SIZES
from firstsight.errors import EncoderError

IMAGE_SIZE: Final = 192
"""Side of the student's pictures if no setting makes the student smaller: 1.8 times the speed of 260 pixels."""

MIN_OVERLAP: Final = 0.6
"""Least share of the teacher's ten nearest neighbours that a distilled student keeps on held-out products."""

MIN_PRUNED_OVERLAP: Final = 0.8
"""The same for a pruned student, which has the teacher's own weights."""


@dataclass(frozen=True)
class DistilSettings:
    """Settings of a distillation. Without one of the first four, the student gets pictures of 192 pixels.

    Raises:
        EncoderError: a value is out of range.
    """

    teacher: str | None = None  # name of the encoder to learn from; None: the encoder that becomes smaller
    image_size: int | None = None  # side of a starter's input picture in pixels; None: its own
    text_layers: int | None = None  # layers of a starter's text tower; None: its own
    prune: float | None = None  # share of the heads and MLP units of a starter's text tower to remove, 0 to 1; of other
    # models: share of the MLP units of both towers
    steps: int = 150  # updates of a starter's bridge, or of another model
    text_steps: int = 150  # updates of the text tower, at least three passes over the texts
    min_overlap: float | None = None  # bound of overlap@10; None: .8 with `prune`, else .6
    max_loss: float = 0.05  # greatest allowed loss of title -> own picture R@10, 0 to 1
    learning_rate: float | None = None  # of a model that is no starter; None: 1e-4, for random weights 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.teacher, self.image_size, self.text_layers, self.prune) == (None,) * 4:
            object.__setattr__(self, "image_size", IMAGE_SIZE)
        if self.image_size is not None and self.image_size not in IMAGE_SIZES:
            raise EncoderError(
                f"image size {self.image_size} is out of range; choose {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}"
            )
        if self.text_layers is not None and self.text_layers < 1:
            raise EncoderError(f"{self.text_layers} text layers are not possible; choose 1 or more")
        if self.prune is not None and not 0 < self.prune < 1:
            raise EncoderError(f"share {self.prune} to prune is out of range; choose above 0 and below 1")
        for name in ("min_overlap", "max_loss"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise EncoderError(f"{name} {value} is out of range; choose 0 to 1")
        for name in ("steps", "text_steps"):
            if getattr(self, name) < 1:
                raise EncoderError(f"{name} {getattr(self, name)} must be at least 1")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise EncoderError(f"learning_rate {self.learning_rate} must be above 0")

    @property
    def required_overlap(self) -> float:
        """The bound of overlap@10."""
        if self.min_overlap is not None:
            return self.min_overlap
        return MIN_OVERLAP if self.prune is None or self.teacher is not None else MIN_PRUNED_OVERLAP

    @property
    def changes_texts(self) -> bool:
        """Whether the student has another text tower."""
        return self.text_layers is not None or self.prune is not None
