"""The parts of `starter` for an export: the bridge is inside both towers, so their outputs are the final vectors."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Arrays
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.export_parts import ExportParts, TowerParts, as_inputs
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures
from firstsight.encoders.starter.bridge import TEMPERATURE, Bridge
from firstsight.encoders.starter.starter_encoder import MAX_TOKENS, StarterEncoder
from firstsight.encoders.starter.starter_files import PICTURE_WEIGHTS, TOKENIZER
from firstsight.encoders.starter.starter_model import StarterModel
from firstsight.encoders.starter.towers import PIXEL_MEAN, PIXEL_STD, load_picture_tower
from firstsight.encoders.starter.visual import VISUAL_DIM, VisualPart
from firstsight.errors import EncoderError

TOKENIZER_FILE = "tokenizer.json"


def starter_parts(model: str, options: EncoderOptions) -> ExportParts:
    """Take `starter`, `starter:visual` or `starter:FOLDER` apart.

    Args:
        model: the name after the colon: `visual`, a folder, or an empty text for the built-in model.
        options: only `threads` is used.

    Raises:
        EncoderError: the folder or an installed file cannot be used, or the model knows several languages.
    """
    variant = StarterModel.of_name(model)
    if variant.language_map is not None:
        raise EncoderError(
            f"{variant.name} cannot be exported: its tower of several languages is a program in NumPy, not a network; "
            "export starter, or an open_clip or transformers model of several languages"
        )
    encoder = StarterEncoder("torch", options.threads, variant)
    pictures = StarterPictures(load_picture_tower(PICTURE_WEIGHTS.verify()), encoder.bridge, encoder.visual).eval()
    texts = StarterTexts(encoder.load_text_tower(), encoder.bridge, visual=encoder.visual is not None).eval()

    def prepare_pictures(sources: Sequence[Image.Image]) -> Arrays:
        return (encoder.pixels(sources),)

    def prepare_texts(sources: Sequence[str]) -> Arrays:
        return encoder.tokens(sources)

    example_pixels, example_tokens = prepare_pictures(probe_pictures(2)), prepare_texts(PROBE_TEXTS[1:3])
    side = encoder.spec.image_size
    return ExportParts(
        spec=encoder.spec,
        pictures=TowerParts(
            pictures,
            example_pixels,
            as_inputs(["pixels"], example_pixels),
            {
                "kind": "resize",
                "colours": "RGB",
                "orientation": "upright by EXIF",
                "transparency": "on white",
                "min_side": encoder.spec.min_side,
                "shrinks_decoded": True,
                "resize": "fit",
                "size": [side, side],
                "interpolation": "bicubic",
                "antialias": True,
                "reducing_gap": 3.0,
                "max_aspect": None,
                "crop_start": "floor",
                "padding": [255, 255, 255],
                "layout": "batch, height, width, channel",
                "mean": [PIXEL_MEAN] * 3,
                "std": [PIXEL_STD] * 3,
                "normalised_in_graph": True,
            },
        ),
        texts=TowerParts(
            texts,
            example_tokens,
            as_inputs(["ids", "mask"], example_tokens, variable="length"),
            {
                "kind": "tokenizer.json",
                "file": TOKENIZER_FILE,
                "clean": "none",
                "max_tokens": MAX_TOKENS,
                "padding": "longest",
                "pad_id": 0,
                "replaced_ids": {},
            },
        ),
        prepare_pictures=prepare_pictures,
        prepare_texts=prepare_texts,
        reference_pictures=encoder.encode_images,
        reference_texts=encoder.encode_texts,
        write_tokenizer=_copy_tokenizer,
        max_tokens=MAX_TOKENS,
        notes={"bridge": "inside both graphs: their outputs are the final vectors"},
    )


def _copy_tokenizer(folder: Path) -> None:
    shutil.copyfile(TOKENIZER.verify(), folder / TOKENIZER_FILE)


class StarterPictures(nn.Module):
    """The picture tower, the bridge and the visual part: `Bridge.pictures` and `VisualPart.join` in torch."""

    def __init__(self, tower: nn.Module, bridge: Bridge, visual: VisualPart | None = None) -> None:
        super().__init__()
        self._share = None if visual is None else visual.share
        if visual is not None:
            self.register_buffer("visual_mean", torch.from_numpy(visual.mean.copy()))
            self.register_buffer("visual_projection", torch.from_numpy(visual.projection.copy()))
        self.tower = tower
        self._names = tuple(bridge.weights)
        for name, values in bridge.weights.items():
            self.register_buffer(f"bridge_{name}", torch.from_numpy(np.ascontiguousarray(values)))
        self._share = None if visual is None else visual.share
        if visual is not None:
            self.register_buffer("visual_mean", torch.from_numpy(visual.mean.copy()))
            self.register_buffer("visual_projection", torch.from_numpy(visual.projection.copy()))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (n, side, side, 3) uint8 RGB to (n, 384) float32 unit rows, or (n, 768) with a visual part."""
        features, logits = self.tower(pixels)
        semantic = self._semantic(features, logits)
        if self._share is None:
            return semantic
        centred = features - self.get_buffer("visual_mean")
        visual = functional.normalize(centred @ self.get_buffer("visual_projection"), dim=1)
        return torch.cat([(1 - self._share) ** 0.5 * semantic, self._share**0.5 * visual], dim=1)

    def _semantic(self, features: Tensor, logits: Tensor) -> Tensor:
        start = functional.normalize(torch.softmax(logits / TEMPERATURE, dim=1) @ self._weight("class_vectors"), dim=1)
        if "linear" not in self._names:
            return start
        inner = torch.cat([features, start], dim=1) @ self._weight("hidden") + self._weight("hidden_bias")
        change = features @ self._weight("linear") + functional.relu(inner) @ self._weight("out")
        return functional.normalize(start + change + self._weight("out_bias"), dim=1)

    def _weight(self, name: str) -> Tensor:
        return self.get_buffer(f"bridge_{name}")


class StarterTexts(nn.Module):
    """The text tower and the bridge: `Bridge.texts` in torch, with zeros in place of a visual part."""

    def __init__(self, tower: nn.Module, bridge: Bridge, *, visual: bool = False) -> None:
        super().__init__()
        self.tower = tower
        self._added = VISUAL_DIM if visual else 0  # zeros
        self.register_buffer("text_mean", torch.from_numpy(bridge.text_mean.copy()))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map (n, length) int64 ids and their 0/1 mask to (n, 384) float32 unit rows, or (n, 768) with zeros added."""
        sentences = functional.normalize(self.tower(ids, mask), dim=1)
        texts = functional.normalize(sentences - self.get_buffer("text_mean"), dim=1)
        return functional.pad(texts, (0, self._added)) if self._added else texts
