"""Unit vectors, and the specification of the encoder that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstsight.records import Record

Vectors: TypeAlias = NDArray[np.float32]
"""(n, dim) float32; every row has unit length."""


Vector: TypeAlias = NDArray[np.float32]
"""(dim,) float32 of unit length."""

VectorInput: TypeAlias = Sequence[float] | NDArray[np.floating[Any] | np.integer[Any]]
"""A vector of a user, of any length above 0: a list or an array of dim finite numbers."""

DECODE_FACTOR = 3
"""Pictures may be shrunk during decoding to this multiple of the resized size, but not below.

Measured by benchmarks/encoders.py drift on a trained network, EfficientNet-Lite2, which is more sensitive than a
transformer: 1000 x 1000 JPEGs do not change; 3000 x 2000 JPEGs change by a cosine of .0013 on average, .0046 at worst.
"""


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Scale vectors to length 1 along the last axis; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)


@dataclass(frozen=True)
class EncoderSpec(Record):
    """Specification of an encoder, without its runtime."""

    name: str  # the name that loads it: "starter", "open_clip:ViT-B-32/laion2b_s34b_b79k"
    dim: int  # length of its vectors
    image_size: int  # side of the square input of the picture tower, in pixels
    fingerprint: str  # hex digest of everything that changes its vectors: weights, preprocessing, tokeniser
    decode_factor: int = DECODE_FACTOR  # pictures may be shrunk during decoding to this multiple of image_size

    @property
    def min_side(self) -> int:
        """Minimum length of a picture's shorter side after decoding, in pixels; smaller pictures keep their size."""
        return self.decode_factor * self.image_size
