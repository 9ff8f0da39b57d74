"""`open_clip:ARCH/TAG` and `open_clip:ARCH@FILE`: models of open_clip, run as its own code runs them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image

from firstsight.encoders.base import EncoderSpec
from firstsight.encoders.torch_dual import TorchDualEncoder, best_device, weights_digest
from firstsight.errors import EncoderError, first_line


class OpenClipEncoder(TorchDualEncoder):
    """A model of open_clip in float32, with its own tokeniser and preprocessing.

    Args:
        model: `ARCH/TAG` for published weights, downloaded once into the Hugging Face cache, or `ARCH@FILE` for a
            checkpoint (.pt, .bin or .safetensors), read with `weights_only`: a pickle in it is never run.

    Raises:
        EncoderError: no such architecture, tag or file; a checkpoint that does not fit; no network.
    """

    def __init__(self, model: str) -> None:
        arch, weights = _parse(model)
        self._device = best_device()
        self._model, self._preprocess = _load(arch, weights, self._device)
        self._tokenizer = open_clip.get_tokenizer(arch)
        size = self._model.visual.image_size
        side = size if isinstance(size, int) else max(size)
        context = getattr(self._model, "context_length", None)
        with torch.inference_mode():
            dim = self._model.encode_text(self._tokenizer(["a"]).to(self._device)).shape[-1]
        fingerprint = weights_digest(self._model, arch, repr(self._preprocess), context)
        # absolute, so that a database finds its encoder from any working directory
        name = f"{arch}@{Path(weights).resolve()}" if "@" in model else model
        self.spec = EncoderSpec(f"open_clip:{name}", dim, side, fingerprint)

    def _image_features(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        pixels = torch.stack([self._preprocess(picture) for picture in pictures])
        features: torch.Tensor = self._model.encode_image(pixels.to(self._device))
        return features

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        features: torch.Tensor = self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
        return features


def _parse(model: str) -> tuple[str, str]:
    """Architecture, and tag or file."""
    if "@" in model:
        arch, _, weights = model.partition("@")
        if not Path(weights).is_file():
            raise EncoderError(f"there is no checkpoint {weights!r}; give the path of a .pt, .bin or .safetensors file")
    else:
        arch, _, weights = model.partition("/")
    known = open_clip.list_models()
    if arch not in known:
        near = ", ".join(difflib.get_close_matches(arch, known, n=3, cutoff=0.4))
        raise EncoderError(f"open_clip has no architecture {arch!r}; near it are {near or ', '.join(known[:5])}")
    if "@" not in model:
        tags = open_clip.list_pretrained_tags_by_model(arch)
        if weights not in tags:
            raise EncoderError(
                f"open_clip has no weights {weights!r} for {arch}; there are {', '.join(tags) or 'none'}; "
                f"for a file of your own: open_clip:{arch}@FILE"
            )
    return arch, weights


def _load(arch: str, weights: str, device: torch.device) -> tuple[Any, Any]:
    # open_clip logs each of its errors before it raises it; the sentence below is enough
    logging.disable(logging.ERROR)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(arch, pretrained=weights, device=device)
    except Exception as error:  # whatever a bad checkpoint makes torch, safetensors or the hub raise
        hint = (
            "check that it was saved from this architecture"
            if Path(weights).is_file()
            else f"without a network, download it elsewhere and load the file: open_clip:{arch}@FILE"
        )
        raise EncoderError(f"open_clip cannot load {weights} into {arch}: {first_line(error)}; {hint}") from error
    finally:
        logging.disable(logging.NOTSET)
    return model.eval(), preprocess
