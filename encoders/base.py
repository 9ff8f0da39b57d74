"""The one protocol every encoder family implements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstsight.media.pictures import ImageInput

__all__ = ["Encoder", "EncoderSpec", "ImageInput", "Vector", "Vectors", "unit"]

Vectors: TypeAlias = NDArray[np.float32]
"""(n, dim) float32; every row has unit length."""


Vector: TypeAlias = NDArray[np.float32]
"""(dim,) float32 of unit length."""


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors, along the last axis, scaled to length 1; one of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder is, apart from how it is run."""

    name: str  # the string that loads it: "starter", "open_clip:ViT-B-32/laion2b_s34b_b79k"
    dim: int  # length of its vectors
    image_size: int  # side in pixels of the square its picture tower sees
    fingerprint: str  # hex digest of everything that changes its vectors: weights, preprocessing, tokeniser


@runtime_checkable
class Encoder(Protocol):
    """Pictures and texts to unit vectors in one space, where a larger dot product means more alike."""

    @property
    def spec(self) -> EncoderSpec: ...

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no pictures.

        Raises:
            MediaError: a picture cannot be read; the message says which one by its position.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; over-long texts are truncated to the model's context.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no texts.
        """
        ...
