"""Encodings of embeddings in answers: numbers, base64, integers and bits."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors

EmbeddingFormat = Literal["float", "base64", "int8", "uint8", "binary", "ubinary"]


def format_vectors(vectors: Vectors, form: EmbeddingFormat) -> list[Any]:
    """Convert embeddings to JSON values, one per row.

    Args:
        vectors: (n, dim) unit rows.
        form: "float" gives dim numbers. "base64" gives the bytes of little-endian float32. "int8" (-127 to 127) and
            "uint8" (1 to 255, zero is 128) give dim integers. "binary" (-128 to 127) and "ubinary" (0 to 255) have a
            bit for each dimension, set if it is above zero: eight bits per integer, the first is the highest.
            "binary" is "ubinary" minus 128.
    """
    if form == "base64":
        return [base64.b64encode(row.tobytes()).decode("ascii") for row in vectors.astype("<f4")]
    return _FORMATTERS[form](vectors)


def _int8(vectors: Vectors) -> NDArray[np.int16]:
    # Each row is scaled by its own largest value. CLIP models have one or two dimensions ten times as large as the
    # rest: one scale for all would clip them, or leave few steps for the rest. Cosines stay, dot products change scale.
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
