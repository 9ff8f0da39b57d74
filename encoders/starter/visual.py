"""The visual part of `starter:visual`: a second half of each picture's vector, for the comparison of pictures.

The bridge places a picture among texts, and forgets details that no text names. The visual part is a fixed projection
of the picture tower's features to the directions that tell the ImageNet classes apart. A picture's vector is

    [sqrt(1 - share) * semantic, sqrt(share) * visual]

and a text's vector is [semantic, zeros]. So the cosine of two pictures is the weighted mean of both cosines, and the
cosine of a text and a picture is that of `starter` times one constant: texts find the same pictures in the same order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors, unit
from firstsight.encoders.starter.weight_files import read_weights, require_shapes
from firstsight.errors import EncoderError

VISUAL_DIM: Final = 384

_SHAPES: Final = {"mean": (1280,), "projection": (1280, VISUAL_DIM), "share": (1,)}


class VisualPart:
    """Adds the visual part to vectors of pictures, and its place to vectors of texts.

    Args:
        weights: `mean` (1280) of the picture features, `projection` (1280, 384) of the centred features, and `share`
            (1,), the weight of the visual part in the cosine of two pictures, 0 to 1.

    Raises:
        EncoderError: an array is missing, has another shape, or the share is out of range.
    """

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        require_shapes(weights, _SHAPES, "the visual part needs")
        self.mean, self.projection = (weights[name].astype(np.float32) for name in ("mean", "projection"))
        self.share = float(weights["share"][0])
        if not 0 <= self.share <= 1:
            raise EncoderError(
                f"the share of the visual part must be 0 to 1, not {self.share:g}; write the model again"
            )

    @classmethod
    def load(cls, path: Path) -> VisualPart:
        """Read the weights from a safetensors file.

        Raises:
            EncoderError: the file cannot be read, or holds other arrays.
        """
        return cls(read_weights(path))

    def visual(self, features: NDArray[np.float32]) -> Vectors:
        """Map (n, 1280) features of the picture tower to (n, 384) unit rows."""
        return unit((features - self.mean) @ self.projection)

    def join(self, semantic: Vectors, features: NDArray[np.float32]) -> Vectors:
        """Join (n, 384) unit rows of the bridge and the visual part of (n, 1280) features to (n, 768) unit rows."""
        parts = (np.sqrt(1 - self.share) * semantic, np.sqrt(self.share) * self.visual(features))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def extend(self, texts: Vectors) -> Vectors:
        """Append zeros to (n, 384) unit rows of texts: (n, 768)."""
        return np.pad(texts, ((0, 0), (0, VISUAL_DIM)))
