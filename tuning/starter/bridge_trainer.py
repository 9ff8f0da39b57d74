"""Trainer of the `starter` encoder: its bridge on tower outputs that are computed once, or with LoRA in its texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from firstsight.encoders.base import ImageInput, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import IMAGE_SIZES, NAME, StarterModel, save_starter
from firstsight.errors import EncoderError
from firstsight.tuning.starter.bridge_network import (
    TRAINED,
    BridgeSettings,
    BridgeWeights,
    KindVectors,
    RowVectors,
    average,
    bridge_vectors,
    complete,
    mix,
    start_vectors,
    train_bridge,
)
from firstsight.tuning.starter.phrase_pairs import ItemPictures, QueryClicks, phrase_kinds
from firstsight.tuning.starter.single_threads import run_single_threaded, single_threaded
from firstsight.tuning.starter.tower_outputs import TowerOutputs
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData

if TYPE_CHECKING:
    from firstsight.tuning.starter.text_adapters import AdaptedTextTower, ChangedTexts, WeightChanges

STEPS: Final = 25
BATCH_SIZE: Final = 192
LEARNING_RATE: Final = 3e-4

SIDE_WEIGHT: Final = 0.3
"""Weight of other columns than the category and the joined ones: they must not outweigh titles."""
SEEDS: Final = 3
LORA_SEEDS: Final = 1
"""A training of the text tower takes ten times as long as one of the bridge."""

METHODS: Final = ("bridge", "lora")


@dataclass(frozen=True)
class BridgeInputs:
    """Inputs of a bridge for p pictures.

    Attributes:
        features: (p, 1280) outputs of the picture tower.
        start: (p, 384) unit rows that the bridge adds its change to, the same for all trainings.
    """

    features: NDArray[np.float32]
    start: NDArray[np.float32]

    @classmethod
    def of(cls, base: BridgeWeights, outputs: TowerOutputs, pictures: Sequence[ImageInput]) -> BridgeInputs:
        """Compute or read the inputs of pictures."""
        features, logits = outputs.pictures(pictures)
        return cls(np.ascontiguousarray(features), start_vectors(base, logits))


class BridgeTrainer:
    """Trains the bridge of a `starter` model; a `Trainer`.

    Args:
        encoder_name: "starter" or another variant, such as "starter:multilingual" or "starter:FOLDER".
        options: runtime and threads of the towers.
        data: the catalogue.
        general_pictures: pictures of the forgetting check.
        settings: of the tuning run; method "bridge", or "lora": the bridge with adapters in the text tower.
        work_folder: not used; the tower outputs are kept in the cache folder.
        on_progress: receives one line for each step worth telling.

    Raises:
        EncoderError: the model cannot be loaded, or a setting does not fit it.
        OptionalDependencyError: the method lora without the extra `tune`.
        MediaError: a picture has become unreadable.
        StoreError: the tower outputs cannot be kept.
    """

    trains_all_steps = True

    def __init__(
        self,
        encoder_name: str,
        options: EncoderOptions,
        data: TuningData,
        general_pictures: Sequence[ImageInput],
        settings: TuneSettings,
        work_folder: Path,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        if settings.method not in (None, *METHODS):
            raise EncoderError(f"{encoder_name} is tuned with the method {' or '.join(METHODS)}, not {settings.method}")
        _, _, folder = encoder_name.partition(":")
        model = StarterModel.of_name(folder)
        self._base_model = model
        self._lora_rank = settings.lora_rank if settings.method == "lora" else None
        if self._lora_rank is not None:
            if model.language_map is not None:
                raise EncoderError(
                    f"{encoder_name} cannot be tuned with lora, because its texts have the vectors of two towers; "
                    "choose --method bridge"
                )
            import firstsight.tuning.starter.text_adapters  # noqa: F401, a missing package is reported before the work
        if settings.image_size is not None:
            if settings.image_size not in IMAGE_SIZES:
                raise EncoderError(
                    f"image_size {settings.image_size} is out of range; choose {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}"
                )
            model = replace(model, image_size=settings.image_size)
        self._options = options
        self._data = data
        self._general_pictures = general_pictures
        self._on_progress = on_progress
        self._encoder = StarterEncoder(options.runtime, options.threads, model)
        self._outputs = TowerOutputs(self._encoder, on_progress)
        self._base = complete(Bridge.load(model.bridge).weights)
        self._pictures = BridgeInputs.of(self._base, self._outputs, data.pictures)
        self._general = BridgeInputs.of(self._base, self._outputs, general_pictures)
        self._seeds = settings.seeds or (SEEDS if self._lora_rank is None else LORA_SEEDS)
        self._first_seed = settings.seed
        self._settings = BridgeSettings(
            settings.steps or STEPS, settings.batch_size or BATCH_SIZE, settings.learning_rate or LEARNING_RATE
        )
        weights = _kind_weights(data)
        self._kinds = [
            KindVectors(
                kind,
                torch.from_numpy(self._outputs.texts(kind.texts)),
                weights[kind.name],
            )
            for kind in phrase_kinds(data)
            if kind.name in weights
        ]
        clicks = QueryClicks.of(data)
        self._clicks = None if clicks is None else (clicks, torch.from_numpy(self._outputs.texts(clicks.texts)))

    def fit(
        self, items: Sequence[int], held_out: Sequence[int], *, label: str, on_progress: Callable[[str], None]
    ) -> TunedBridge:
        """Train for all steps, with the seeds averaged; see `Trainer.fit`.

        Raises:
            EncoderError: the items have fewer than two pictures.
        """
        pictures = ItemPictures.of(self._data, items)
        if len(pictures.rows) < 2:
            raise EncoderError(f"{label} has {len(pictures.rows)} pictures to learn from; tuning needs two or more")
        seeds = range(self._first_seed, self._first_seed + self._seeds)
        text_changes: list[WeightChanges] = []
        if self._lora_rank is None:
            jobs = [partial(self._train_bridge, pictures, items, seed) for seed in seeds]
            trained = run_single_threaded(jobs, self._options.cpu_threads)
        else:
            trained = []
            for seed in seeds:
                tower = self._adapted_tower(seed)
                trained.append(self._train_bridge(pictures, items, seed, tower))
                text_changes.append(tower.changes())
        learned = "bridge" if self._lora_rank is None else "bridge and text tower"
        on_progress(f"{label}: trained the {learned} on {len(pictures.rows):,} pictures, {self._seeds} seeds averaged")
        return self._tuned(average(trained), text_changes)

    def untuned(self) -> TunedBridge:
        """The encoder before the tuning, at its own size of pictures."""
        if self._encoder.model == self._base_model:
            return self._tuned({}, ())
        encoder = StarterEncoder(self._options.runtime, self._options.threads, self._base_model)
        outputs = TowerOutputs(encoder, self._on_progress)
        return TunedBridge(
            encoder,
            outputs,
            self._base,
            {},
            BridgeInputs.of(self._base, outputs, self._data.pictures),
            BridgeInputs.of(self._base, outputs, self._general_pictures),
        )

    def _train_bridge(
        self, pictures: ItemPictures, items: Sequence[int], seed: int, tower: AdaptedTextTower | None = None
    ) -> BridgeWeights:
        return train_bridge(
            self._base,
            self._pictures.features[pictures.rows],
            self._pictures.start[pictures.rows],
            pictures,
            self._kinds if tower is None else _learned(self._kinds, tower),
            self._clicks_of(items, tower),
            self._settings,
            seed,
            () if tower is None else tower.parameters(),
        )

    def _adapted_tower(self, seed: int) -> AdaptedTextTower:
        """The text tower with new adapters."""
        from firstsight.tuning.starter.text_adapters import AdaptedTextTower

        assert self._lora_rank is not None
        return AdaptedTextTower(self._encoder, self._lora_rank, seed)

    def _tuned(self, tuned: BridgeWeights, text_changes: Sequence[WeightChanges]) -> TunedBridge:
        texts = None
        if text_changes:
            from firstsight.tuning.starter.text_adapters import ChangedTexts, average_changes

            texts = ChangedTexts(self._encoder, average_changes(text_changes))
        return TunedBridge(self._encoder, self._outputs, self._base, tuned, self._pictures, self._general, texts)

    def _clicks_of(self, items: Sequence[int], tower: AdaptedTextTower | None) -> tuple[QueryClicks, RowVectors] | None:
        """The queries, with clicks on these items only."""
        if self._clicks is None:
            return None
        clicks, vectors = self._clicks
        known = np.zeros(clicks.clicked.shape[1], dtype=bool)
        known[list(items)] = True
        known_clicks = replace(clicks, clicked=clicks.clicked & known)
        return known_clicks, vectors if tower is None else tower.vectors_of(clicks.texts)


def _learned(kinds: Sequence[KindVectors], tower: AdaptedTextTower) -> list[KindVectors]:
    """The same kinds of phrases with vectors that learn."""
    return [replace(each, vectors=tower.vectors_of(each.kind.texts)) for each in kinds]


def _kind_weights(data: TuningData) -> dict[str, float]:
    """Weight of each kind of phrases in the loss.

    A column that is joined with the category is learned in that phrase only: "blue" of its own cost titles .02 on
    luma_men_gear, and did not help "blue jackets".
    """
    kinds = {kind for item in data.items for kind in item.phrases}
    joined = {(first, second): f"{first} {second}" for first in kinds for second in kinds}
    joined = {pair: name for pair, name in joined.items() if name in kinds}
    categories = {second for _, second in joined}
    main = {"title", *joined.values(), *categories}
    alone = {first for first, _ in joined} - categories
    return {kind: 1.0 if kind in main or not joined else SIDE_WEIGHT for kind in kinds - alone}


class TunedBridge:
    """A tuned bridge and the one that it started from, with LoRA also both text towers; `TunedWeights`."""

    def __init__(
        self,
        encoder: StarterEncoder,
        outputs: TowerOutputs,
        base: BridgeWeights,
        tuned: BridgeWeights,
        pictures: BridgeInputs,
        general: BridgeInputs,
        texts: ChangedTexts | None = None,
    ) -> None:
        self._encoder = encoder
        self._outputs = outputs
        self._base = base
        self._tuned = tuned
        self._pictures = pictures
        self._general = general
        self._texts = texts

    def encode_pictures(self, rows: Sequence[int], share: float) -> Vectors:
        """Return (n, dim) unit rows for these rows of `TuningData.pictures`."""
        chosen = np.asarray(rows, dtype=np.int64)
        return self._vectors(BridgeInputs(self._pictures.features[chosen], self._pictures.start[chosen]), share)

    def encode_general_pictures(self, share: float) -> Vectors:
        """Return (g, dim) unit rows for the pictures of the forgetting check."""
        return self._vectors(self._general, share)

    def encode_texts(self, texts: Sequence[str], share: float) -> Vectors:
        """Return (n, dim) unit rows; a tuning of the bridge alone does not change them."""
        changed = self._texts if share > 0 else None
        vectors = self._outputs.texts(texts) if changed is None else changed.encode(texts, share)
        visual = self._encoder.visual
        return vectors if visual is None else visual.extend(vectors)

    def save(self, folder: Path, share: float) -> str:
        """Write a `starter:FOLDER` and return its name."""
        from firstsight.encoders.starter.towers import load_changed_text_tower

        model = self._encoder.model
        text_tower = None
        if self._texts is not None and share > 0:
            text_tower = self._texts.tower(share).state_dict()
        elif model.text_tower is not None:
            text_tower = load_changed_text_tower(model.text_tower).state_dict()
        bridge = mix(self._base, self._tuned, share)
        save_starter(folder, bridge, image_size=model.image_size, text_tower=text_tower, base=model)
        return f"{NAME}:{folder}"

    def _vectors(self, inputs: BridgeInputs, share: float) -> Vectors:
        weights = mix(self._base, self._tuned, share) if self._tuned else self._base
        tensors = {name: torch.from_numpy(weights[name]) for name in TRAINED}
        with torch.inference_mode(), single_threaded():
            vectors = bridge_vectors(tensors, torch.from_numpy(inputs.features), torch.from_numpy(inputs.start)).numpy()
        visual = self._encoder.visual
        return vectors if visual is None else visual.join(vectors, inputs.features)
