"""The parts of a dual encoder: preprocessing, two towers, and its library's own functions for comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from firstsight.encoders.base import Arrays, EncoderSpec


@dataclass(frozen=True)
class Tokens:
    """Texts as inputs of a text tower."""

    arrays: Arrays  # (n, width) each: token ids, and a 0/1 mask if the model has one; padded as its library pads
    lengths: NDArray[np.int64]  # (n,) number of columns without the padding


@dataclass(frozen=True)
class DualModel:
    """A dual encoder in parts, as a family's file makes it.

    The towers are float32 and in evaluation mode. Their outputs need not have unit length.
    """

    spec: EncoderSpec
    prepare_pictures: Callable[[Sequence[Image.Image]], Arrays]  # n >= 1 RGB pictures; several threads may call it
    prepare_texts: Callable[[Sequence[str]], Tokens]  # n >= 1 texts
    picture_tower: nn.Module  # takes the arrays of prepare_pictures; returns (n, dim)
    text_tower: nn.Module  # takes Tokens.arrays, possibly with fewer columns; returns (n, dim)
    reference_pictures: Callable[[Sequence[Image.Image]], Tensor]  # (n, dim) by the library's own code
    reference_texts: Callable[[Sequence[str]], Tensor]  # (n, dim) by the library's own code
