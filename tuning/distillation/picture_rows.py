"""Pictures of a catalogue by their rows, decoded when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, overload

import numpy as np

from firstsight.encoders.base import Encoder, ImageInput, Vectors

BATCH: Final = 32
"""Pictures that are in memory at one time."""


class PictureRows(Sequence[ImageInput]):
    """Some pictures of a sequence, without a copy.

    Args:
        pictures: all pictures.
        rows: of the pictures in this sequence, in order.
    """

    def __init__(self, pictures: Sequence[ImageInput], rows: Sequence[int]) -> None:
        self._pictures, self.rows = pictures, tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> ImageInput: ...
    @overload
    def __getitem__(self, place: slice) -> list[ImageInput]: ...
    def __getitem__(self, place: int | slice) -> ImageInput | list[ImageInput]:
        if isinstance(place, slice):
            return [self._pictures[row] for row in self.rows[place]]
        return self._pictures[self.rows[place]]


def encode_pictures(encoder: Encoder, pictures: Sequence[ImageInput]) -> Vectors:
    """Encode pictures in batches: (n, dim) unit rows."""
    parts = [encoder.encode_images(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, encoder.spec.dim), dtype=np.float32)
