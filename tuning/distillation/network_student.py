"""A student of the families `open_clip` and `transformers`: pruned MLPs, or the vectors of another encoder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_trainable_model, load_with_options
from firstsight.encoders.runtimes.torch_runtime import best_device, check_device
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.picture_rows import encode_pictures
from firstsight.tuning.distillation.rate_schedule import warm_cosine
from firstsight.tuning.distillation.student import Lesson
from firstsight.tuning.distillation.vector_loss import vector_loss
from firstsight.tuning.networks.network_inputs import PictureInputs, Towers
from firstsight.tuning.pruning.network_mlps import (
    changed_settings,
    cut_units,
    find_mlps,
    measure_units,
    require_trained,
)
from firstsight.tuning.pruning.trained_weights import MIN_TRAINED_EDGE, edge_ratio

BATCH: Final = 32
"""Pictures, and texts, of one update."""

RATE: Final = 1e-4
RANDOM_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.01

IMPORTANCE_INPUTS: Final = 128
IMPORTANCE_BATCH: Final = 16
PROBES: Final = 4

REFERENCE: Final = "torch:fp32"
"""Runtime of all vectors here: a faster one is chosen when the student is used."""


class NetworkStudent:
    """An open_clip or transformers model that learns; a `Student`.

    Both towers are trained with all their weights. The embeddings of words stay if they are trained ones: a catalogue
    has few words, and the others must keep fitting the layers.

    Args:
        encoder: name of the model, with trained or random weights.
        settings: of the student and its training.
        options: device, threads and permissions.
        work_folder: for decoded pictures.
        on_progress: receives one line for each step worth telling.

    Raises:
        EncoderError: the model cannot be loaded, or cannot be pruned.
    """

    text_tower = ()

    def __init__(
        self,
        encoder: str,
        settings: DistilSettings,
        options: EncoderOptions,
        work_folder: Path,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._family = encoder.partition(":")[0]
        self._settings, self._on_progress, self._work_folder = settings, on_progress, work_folder
        device = options.device or best_device()
        check_device(device)
        self._options = replace(options, runtime=REFERENCE, device=device)
        self._model = load_trainable_model(encoder, self._options)
        self._network: Any = self._model.network.requires_grad_(False)
        self.image_size = self._model.dual.spec.image_size
        self._is_trained = edge_ratio(self._network) >= MIN_TRAINED_EDGE
        self._entries: dict[str, dict[str, float]] = {}
        if settings.prune is not None:
            require_trained(self._network)
            find_mlps(self._network, self._family)  # reports a model that cannot be pruned before any work
        self._count = _parameters(self._network)
        self._towers = Towers(self._model.dual, device, autocast=False)
        self._encoder = encoder
        self._start: Encoder | None = None

    @property
    def start(self) -> Encoder:
        if self._start is None:
            self._start = load_with_options(self._encoder, self._options)
        return self._start

    def parameters(self) -> tuple[int, int]:
        return self._count, _parameters(self._network)

    def shrink(self, pictures: Sequence[ImageInput], texts: Sequence[str]) -> None:
        share = self._settings.prune
        if share is None:
            return
        towers = find_mlps(self._network, self._family)
        inputs = self._inputs(pictures[:IMPORTANCE_INPUTS])
        counts = {"pictures": len(inputs), "texts": min(len(texts), IMPORTANCE_INPUTS)}
        for name, tower in towers.items():
            rows = [
                range(counts[name])[start : start + IMPORTANCE_BATCH]
                for start in range(0, counts[name], IMPORTANCE_BATCH)
            ]

            def run(batch: int, name: str = name, rows: list[range] = rows) -> torch.Tensor:
                if name == "pictures":
                    return self._towers.picture_vectors(inputs, rows[batch])
                return self._towers.text_vectors([texts[row] for row in rows[batch]])

            importance = measure_units(tower.layers, run, len(rows), probes=PROBES, seed=self._settings.seed)
            before = tower.units
            kept = cut_units(tower, importance, share)
            self._on_progress(f"tower of {name}: kept {kept:,} of {before:,} MLP units of each layer")
        self._entries = changed_settings(self._family, towers)

    def own_targets(self, pictures: Sequence[ImageInput], texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        return encode_pictures(self.start, pictures), self.start.encode_texts(texts)

    def train(self, lesson: Lesson, on_progress: Callable[[str], None]) -> None:
        settings = self._settings
        device = self._towers.device
        inputs = self._inputs(lesson.pictures)
        of_pictures, of_texts = (
            torch.from_numpy(vectors).to(device) for vectors in (lesson.picture_targets, lesson.text_targets)
        )
        trained = self._learned_weights()
        rate = settings.learning_rate or (RATE if self._is_trained else RANDOM_RATE)
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=WEIGHT_DECAY)
        schedule = warm_cosine(optimizer, settings.steps)
        generator = np.random.default_rng(settings.seed)
        pictures, texts = (_batches(len(part), generator) for part in (lesson.pictures, lesson.texts))
        for step in range(1, settings.steps + 1):
            rows = next(pictures)
            loss = vector_loss(self._towers.picture_vectors(inputs, rows), of_pictures[rows])
            optimizer.zero_grad()
            loss.backward()  # before the texts: one tower's activations in memory at a time
            rows = next(texts)
            text_loss = vector_loss(self._towers.text_vectors([lesson.texts[row] for row in rows]), of_texts[rows])
            text_loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            if step % max(1, settings.steps // 5) == 0:
                on_progress(f"update {step:,} of {settings.steps:,}: loss {loss.item() + text_loss.item():.4f}")
        self._network.requires_grad_(False)

    def save(self, folder: Path) -> Encoder:
        if self._family == "transformers":
            for section, entries in self._entries.items():
                getattr(self._network.config, section).update(entries)
        name = self._model.save(folder)
        if self._family == "open_clip" and self._entries:
            path = folder / "open_clip_config.json"
            config = json.loads(path.read_text(encoding="utf-8"))
            for section, entries in self._entries.items():
                config["model_cfg"][section].update(entries)
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return load_with_options(name, self._options)

    def _inputs(self, pictures: Sequence[ImageInput]) -> PictureInputs:
        return PictureInputs(self._model.dual, pictures, self._work_folder, self._options.cpu_threads)

    def _learned_weights(self) -> list[nn.Parameter]:
        """All weights but scales, and but the embeddings of a trained model; those without a gradient do not change."""
        kept = {
            id(parameter)
            for module in self._network.modules()
            if isinstance(module, nn.Embedding) and self._is_trained
            for parameter in module.parameters()
        }
        learned = [
            parameter
            for name, parameter in self._network.named_parameters()
            if "logit" not in name and id(parameter) not in kept
        ]
        for parameter in learned:
            parameter.requires_grad_(True)
        return learned


def _batches(count: int, generator: np.random.Generator) -> Any:
    """Yield rows of batches without end: each row once in a pass."""
    order: list[int] = []
    size = min(BATCH, count)
    while True:
        while len(order) < size:
            order += generator.permutation(count).tolist()
        yield order[:size]
        order = order[size:]


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
