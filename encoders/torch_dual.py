"""What the torch families share: batches, device, unit rows, and a digest of a model's weights."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture

IMAGE_BATCH = 32
TEXT_BATCH = 64


def best_device() -> torch.device:
    """CUDA where there is one, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class TorchDualEncoder(ABC):
    """A dual encoder run by torch in float32; a family gives the features of one batch."""

    spec: EncoderSpec

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order; (n, dim) float32, unit rows.

        Raises:
            MediaError: a picture cannot be read; the message says which one by its position.
        """
        return self._encode(open_all(images), IMAGE_BATCH, self._image_features)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order, cut at the model's context; (n, dim) float32, unit rows."""
        return self._encode(texts, TEXT_BATCH, self._text_features)

    @abstractmethod
    def _image_features(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(n, dim) for a batch of RGB pictures."""

    @abstractmethod
    def _text_features(self, texts: Sequence[str]) -> Tensor:
        """(n, dim) for a batch of texts."""

    def _encode(self, inputs: Sequence[Any], size: int, features: Callable[[Sequence[Any]], Tensor]) -> Vectors:
        vectors = np.empty((len(inputs), self.spec.dim), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(inputs), size):
                unit = torch.nn.functional.normalize(features(inputs[start : start + size]).float(), dim=-1)
                vectors[start : start + len(unit)] = unit.cpu().numpy()
        return vectors


def open_all(images: Sequence[ImageInput]) -> list[Image.Image]:
    """Decode pictures at full scale, RGB.

    Raises:
        MediaError: naming the position of the one that cannot be read.
    """
    pictures = []
    for position, image in enumerate(images):
        try:
            pictures.append(open_picture(image))
        except MediaError as error:
            raise MediaError(error.reason, f"picture {position}: {error}") from error
    return pictures


def weights_digest(module: torch.nn.Module, *preprocessing: object) -> str:
    """A digest of every parameter and buffer, by name, and of whatever else changes the vectors."""
    digest = hashlib.sha256(repr(preprocessing).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(
            value.detach().cpu().contiguous().view(torch.uint8).numpy() if value.ndim else str(value.item()).encode()
        )
    return digest.hexdigest()
