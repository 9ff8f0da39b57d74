"""A student of the family `starter`: smaller pictures, a smaller text tower, or the vectors of another encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import ImageInput, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import StarterModel, save_starter
from firstsight.encoders.starter.towers import MiniLM
from firstsight.errors import EncoderError
from firstsight.tuning.distillation.bridge_student import distil_bridge
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.picture_rows import BATCH as PICTURES
from firstsight.tuning.distillation.student import Lesson
from firstsight.tuning.distillation.text_student import BATCH, distil_tower, kept_layers, parameters_of, with_layers
from firstsight.tuning.pruning.importance import measure_importance
from firstsight.tuning.pruning.pruned_tower import prune_tower

MIN_PASSES: Final = 3
IMPORTANCE_TEXTS: Final = 256


class StarterStudent:
    """A variant of `starter` that learns; a `Student`.

    Args:
        model: the part of the encoder's name after the colon; empty for the built-in model.
        settings: of the student and its training.
        options: runtime and threads of the towers.
        on_progress: receives one line for each step worth telling.

    Raises:
        EncoderError: the model cannot be read, or the student is not possible.
    """

    def __init__(
        self,
        model: str,
        settings: DistilSettings,
        options: EncoderOptions,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._settings, self._options, self._on_progress = settings, options, on_progress
        self.start = StarterEncoder(options.runtime, options.threads, StarterModel.of_name(model))
        self.image_size = settings.image_size or self.start.spec.image_size
        if self.image_size > self.start.spec.image_size:
            raise EncoderError(
                f"image size {self.image_size} is larger than the teacher's {self.start.spec.image_size}; choose a "
                "smaller one"
            )
        if settings.teacher is None:
            if self.image_size == self.start.spec.image_size and not settings.changes_texts:
                raise EncoderError(
                    f"image size {self.image_size} is the teacher's own, so nothing would become smaller; choose less"
                )
        elif self.start.model.visual is not None or self.start.model.language_map is not None:
            raise EncoderError(
                f"{self.start.spec.name} cannot learn the vectors of another encoder, because its visual part and its "
                "tower of several languages have no weights that learn; choose --encoder starter"
            )
        self._bridge: dict[str, Any] = self.start.bridge.weights
        self._tower: MiniLM | None = None  # None: the start's own

    @property
    def text_tower(self) -> tuple[tuple[int, int], ...]:
        return self._own_tower().sizes

    def parameters(self) -> tuple[int, int]:
        return parameters_of(self.start.load_text_tower()), parameters_of(self._own_tower())

    def shrink(self, pictures: Sequence[ImageInput], texts: Sequence[str]) -> None:
        settings = self._settings
        if not settings.changes_texts:
            return
        tower = self.start.load_text_tower()
        if settings.text_layers is not None:
            tower = with_layers(tower, kept_layers(len(tower.layers), settings.text_layers))
        if settings.prune is not None:
            importance = measure_importance(tower, self.start.tokens, texts[:IMPORTANCE_TEXTS], seed=settings.seed)
            tower = prune_tower(tower, importance, settings.prune)
            self._on_progress(f"pruned {settings.prune:.0%} of the heads and MLP units by their importance")
        self._tower = tower

    def own_targets(self, pictures: Sequence[ImageInput], texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        """The vectors of the start's bridge, without a visual part, which no student changes."""
        bridge = self.start.bridge
        if self.image_size == self.start.spec.image_size:  # the bridge stays
            of_pictures = np.empty((0, bridge.text_mean.shape[0]), dtype=np.float32)
        else:
            of_pictures = bridge.pictures(*_outputs(self.start, pictures))
        return of_pictures, bridge.texts(self.start.sentence_vectors(texts))

    def train(self, lesson: Lesson, on_progress: Callable[[str], None]) -> None:
        settings = self._settings
        learns_all = settings.teacher is not None
        if learns_all or self.image_size != self.start.spec.image_size:
            features, logits = _outputs(self._sized_encoder(), lesson.pictures)
            self._bridge = distil_bridge(
                self.start.bridge,
                features,
                logits,
                lesson.picture_targets,
                steps=settings.steps,
                seed=settings.seed,
                on_progress=on_progress,
            ).weights
        if learns_all or self._tower is not None:
            batches = -(-len(lesson.texts) // BATCH)
            self._tower = distil_tower(
                self._own_tower(),
                self.start.tokens,
                lesson.texts,
                lesson.text_targets,
                self.start.bridge.text_mean,
                epochs=max(MIN_PASSES, -(-settings.text_steps // batches)),
                seed=settings.seed,
                on_progress=on_progress,
            )

    def save(self, folder: Path) -> StarterEncoder:
        tower = self._tower
        if tower is None and self.start.model.text_tower is not None:
            tower = self.start.load_text_tower()
        save_starter(
            folder,
            self._bridge,
            image_size=self.image_size,
            text_tower=None if tower is None else tower.state_dict(),
            base=self.start.model,
        )
        return StarterEncoder(self._options.runtime, self._options.threads, StarterModel.of_folder(str(folder)))

    def _own_tower(self) -> MiniLM:
        return self.start.load_text_tower() if self._tower is None else self._tower

    def _sized_encoder(self) -> StarterEncoder:
        """The start's picture tower at the student's size of pictures."""
        model = replace(self.start.model, image_size=self.image_size)
        return StarterEncoder(self._options.runtime, self._options.threads, model)


def _outputs(
    encoder: StarterEncoder, pictures: Sequence[ImageInput]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run the picture tower in batches: at most one batch of pictures is in memory."""
    parts = [
        encoder.picture_outputs(encoder.pixels(pictures[start : start + PICTURES]))
        for start in range(0, len(pictures), PICTURES)
    ]
    features, logits = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(logits)
