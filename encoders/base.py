"""The one protocol every encoder family implements."""

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
"""What a tower takes for a batch: arrays of n rows each."""


Outputs: TypeAlias = tuple[NDArray[np.float32], ...]
"""What a tower gives for a batch: arrays of n rows each."""


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


class Tower(Protocol):
    """One half of a dual encoder under some runtime."""

    @property
    def rows(self) -> int:
        """How many rows a batch had best have."""
        ...

    def run(self, *inputs: NDArray[Any]) -> Outputs:
        """Its outputs for inputs of n >= 1 rows each, n rows each."""
        ...

    def run_all(self, batches: Iterable[Arrays]) -> Iterator[Outputs]:
        """The outputs of each batch, in order; the next batch is asked for while one is computed, where it can be."""
        ...
