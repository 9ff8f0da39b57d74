"""The forms in which embeddings go to clients: numbers, packed bytes, few bits."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors

EmbeddingFormat = Literal["float", "base64", "int8", "uint8", "binary", "ubinary"]


def format_vectors(vectors: Vectors, form: EmbeddingFormat) -> list[Any]:
    """Embeddings as JSON holds them, a row each.

    Args:
        vectors: (n, dim) unit rows.
        form: "float", dim numbers. "base64", their bytes as little-endian float32. "int8" (-127 to 127) and "uint8"
            (1 to 255, 128 is zero), dim integers. "binary" (-128 to 127) and "ubinary" (0 to 255), a bit for each
            dimension that is above zero, eight to an integer, the first the highest; "binary" is "ubinary" less 128.
    """
    if form == "base64":
        return [base64.b64encode(row.tobytes()).decode("ascii") for row in vectors.astype("<f4")]
    return _FORMATTERS[form](vectors)


def _int8(vectors: Vectors) -> NDArray[np.int16]:
    # Each row by its own largest value: CLIP models have a dimension or two ten times as large as the others, which
    # one scale for all would either cut or give all the steps to. Cosines stay, dot products lose their scale.
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.float32(1e-12))
    scaled: NDArray[np.int16] = np.rint(vectors * (127.0 / largest)).astype(np.int16)
    return scaled


def _ubinary(vectors: Vectors) -> NDArray[np.int16]:
    return np.packbits(vectors > 0, axis=1).astype(np.int16)


_FORMATTERS: Final[dict[EmbeddingFormat, Callable[[Vectors], list[Any]]]] = {
    "float": lambda vectors: vectors.tolist(),
    "int8": lambda vectors: _int8(vectors).tolist(),
    "uint8": lambda vectors: (_int8(vectors) + 128).tolist(),
    "ubinary": lambda vectors: _ubinary(vectors).tolist(),
    "binary": lambda vectors: (_ubinary(vectors) - 128).tolist(),
}
