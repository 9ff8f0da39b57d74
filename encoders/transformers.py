"""`transformers:ORG/NAME` and `transformers:FOLDER`: dual encoders of Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from firstsight.encoders.base import EncoderSpec
from firstsight.encoders.torch_dual import TorchDualEncoder, best_device, weights_digest
from firstsight.errors import EncoderError, first_line

PADDED_TO_CONTEXT = frozenset({"siglip", "siglip2"})
"""Families trained on texts padded to their whole context, without a mask."""


class TransformersEncoder(TorchDualEncoder):
    """A model with `get_image_features` and `get_text_features` in float32, with its own processor.

    Args:
        model: a name on the Hugging Face hub, downloaded once into its cache, or a folder in its format. Weights are
            read from safetensors or with `weights_only`; code that a model brings along is never run.

    Raises:
        EncoderError: no such model or folder, no network, or a model without a text or picture tower.
    """

    def __init__(self, model: str) -> None:
        self._device = best_device()
        self._model, self._processor = _load(model)
        self._model.to(self._device)
        family = self._model.config.model_type
        self._context = getattr(self._model.config.text_config, "max_position_embeddings", None)
        self._padding = "max_length" if family in PADDED_TO_CONTEXT else True
        vision = self._model.config.vision_config
        with torch.inference_mode():
            dim = self._text_features(["a"]).shape[-1]
        place = Path(model).expanduser()
        # absolute, so that a database finds its encoder from any working directory
        name = str(place.resolve()) if place.is_dir() else model
        preprocessing = (
            sorted(self._processor.image_processor.to_dict().items(), key=str),
            sorted(self._processor.tokenizer.get_vocab().items()),
            _plain_config(self._model.config),
            self._context,
            self._padding,
        )
        fingerprint = weights_digest(self._model, *preprocessing)
        self.spec = EncoderSpec(f"transformers:{name}", dim, int(vision.image_size), fingerprint)

    def _image_features(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        inputs = self._processor.image_processor(images=list(pictures), return_tensors="pt").to(self._device)
        return _pooled(self._model.get_image_features(**inputs))

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        inputs = self._processor.tokenizer(
            list(texts), padding=self._padding, max_length=self._context, truncation=True, return_tensors="pt"
        ).to(self._device)
        return _pooled(self._model.get_text_features(**inputs))


def _plain_config(config: Any) -> list[tuple[str, Any]]:
    """A model's configuration without what does not change its vectors: where it came from and who saved it."""
    plain = config.to_dict()
    return sorted((k, v) for k, v in plain.items() if k not in {"_name_or_path", "transformers_version"})


def _pooled(output: Any) -> torch.Tensor:
    """Feature tensors; newer releases wrap them in an output object."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _load(model: str) -> tuple[Any, Any]:
    looks_local = model.startswith(("/", "./", "../", "~")) or model.count("/") > 1
    place = Path(model).expanduser()
    if looks_local and not place.is_dir():
        raise EncoderError(f"there is no folder {model!r}; give one that holds config.json, tokeniser and weights")
    name = str(place) if place.is_dir() else model
    try:
        found = transformers.AutoModel.from_pretrained(name, trust_remote_code=False, dtype=torch.float32)
        _require_both_towers(found, model)
        processor = transformers.AutoProcessor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EncoderError(
            f"transformers cannot load {model!r}: {first_line(error)}; without a network, download the model elsewhere "
            "and give its folder: transformers:/path/to/folder"
        ) from error
    return found.eval(), processor


def _require_both_towers(found: Any, model: str) -> None:
    if not hasattr(found, "get_image_features") or not hasattr(found, "get_text_features"):
        raise EncoderError(f"{model!r} is a {found.config.model_type} model without both a text and a picture tower")
