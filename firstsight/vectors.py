"""Unit vectors, and the description of the encoder that makes them, which every table of vectors keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
"""(n, dim) float32; every row has unit length."""


Vector: TypeAlias = NDArray[np.float32]
"""(dim,) float32 of unit length."""


DECODE_FACTOR = 3
"""A picture file may be shrunk while it is decoded as long as this many times the size the resize makes remain.

Measured by benchmarks/encoders.py drift on a trained network, EfficientNet-Lite2, which is moved more easily than a
transformer: 1000 x 1000 JPEGs are not touched, 3000 x 2000 ones move by a cosine of .0013 on average, .0046 at worst.
"""


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
    decode_factor: int = (
        DECODE_FACTOR  # a picture may be shrunk while it is decoded, as long as this many times image_size remain
    )

    @property
    def min_side(self) -> int:
        """What the shorter side of a picture handed to the encoder should have at least, in pixels, where it has it."""
        return self.decode_factor * self.image_size
