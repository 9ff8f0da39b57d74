"""The protocol that every encoder implements, and the types of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstsight.media.pictures import ImageInput
from firstsight.vectors import DECODE_FACTOR, EncoderSpec, Vector, Vectors, unit

__all__ = [
    "DECODE_FACTOR",
    "Arrays",
    "Encoder",
    "EncoderSpec",
    "ImageInput",
    "Outputs",
    "Tower",
    "Vector",
    "Vectors",
    "unit",
]

Arrays: TypeAlias = tuple[NDArray[Any], ...]
"""Inputs of a tower for one batch: arrays of n rows each."""


Outputs: TypeAlias = tuple[NDArray[np.float32], ...]
"""Outputs of a tower for one batch: arrays of n rows each."""


@runtime_checkable
class Encoder(Protocol):
    """Encodes pictures and texts to unit vectors in one space; a larger dot product means more similar."""

    @property
    def spec(self) -> EncoderSpec: ...

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order.

        Args:
            images: a list of paths, Pillow pictures, arrays or bytes. The encoders of this package take any sequence,
                a Series, and a (n, height, width, 3) uint8 array, and raise TypeError for a single picture.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no pictures.

        Raises:
            MediaError: if a picture cannot be read; the message gives its position.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; texts longer than the model's context are truncated.

        Args:
            texts: a list of texts. The encoders of this package take any sequence, a Series, and a (n,) array, and
                raise TypeError for a single text.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no texts.
        """
        ...


class Tower(Protocol):
    """One half of a dual encoder (pictures or texts), run by one runtime."""

    @property
    def rows(self) -> int:
        """The best batch size in rows."""
        ...

    def run(self, *inputs: NDArray[Any]) -> Outputs:
        """Compute the outputs for inputs of n >= 1 rows each.

        Returns:
            Arrays of n rows each.
        """
        ...

    def run_all(self, batches: Iterable[Arrays]) -> Iterator[Outputs]:
        """Compute the outputs of each batch, in order.

        A runtime that computes asynchronously reads the next batch during the computation.
        """
        ...
