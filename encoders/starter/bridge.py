"""The bridge of the `starter` encoder: from what its two towers say to vectors in one space. NumPy alone.

Pictures start from ConSE (Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", 2014,
section 3): the mean of the ImageNet classes' text vectors, weighted by the classifier's softmax. A linear map
of the picture features and a small residual network, both trained here, are added to it. Texts lose the mean
vector of the training captions, which all texts share and which tells no two of them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors, unit
from firstsight.errors import EncoderError

TEMPERATURE = 1.5
"""Of the classifier's softmax: above 1 the classes it is less sure of count as well."""


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return weights


class Bridge:
    """Maps tower outputs to unit vectors.

    Args:
        weights: `text_mean` (384), `class_vectors` (1000, 384, centred) and, once trained, `linear` (1280, 384),
            `hidden` (1280 + 384, h), `hidden_bias` (h), `out` (h, 384) and `out_bias` (384).
    """

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        # Stored as float16 for size; arithmetic is float32.
        self._weights = {name: values.astype(np.float32) for name, values in weights.items()}

    @classmethod
    def load(cls, path: Path) -> Bridge:
        """Read the weights from a safetensors file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(load_file(path))
        except (OSError, SafetensorError) as error:
            message = f"the starter bridge {path} cannot be read ({error}): install firstsight again"
            raise EncoderError(message) from error

    @property
    def text_mean(self) -> NDArray[np.float32]:
        """(384,) what texts lose: the mean vector of the training captions."""
        return self._weights["text_mean"]

    def untrained(self) -> Bridge:
        """ConSE over the same towers, centred as this bridge is: what training started from."""
        return Bridge({name: self._weights[name] for name in ("text_mean", "class_vectors")})

    def texts(self, sentences: NDArray[np.float32]) -> Vectors:
        """(n, 384) sentence vectors of the text tower -> (n, 384) unit rows."""
        return unit(unit(sentences) - self._weights["text_mean"])

    def pictures(self, features: NDArray[np.float32], logits: NDArray[np.float32]) -> Vectors:
        """(n, 1280) features and (n, 1000) logits of the picture tower -> (n, 384) unit rows."""
        weights = self._weights
        start = unit(softmax(logits / np.float32(TEMPERATURE)) @ weights["class_vectors"])
        if "linear" not in weights:
            return start
        inner = np.concatenate([features, start], axis=1) @ weights["hidden"] + weights["hidden_bias"]
        change = features @ weights["linear"] + np.maximum(inner, 0) @ weights["out"] + weights["out_bias"]
        return unit(start + change)
