"""The bridge of the `starter` encoder: maps the outputs of both towers to one vector space, with NumPy only.

Pictures start from ConSE (Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", 2014,
section 3): the mean of the ImageNet classes' text vectors, weighted by the classifier's softmax. To this start the
bridge adds a linear map of the picture features and a small residual network; this project trains both. From texts the
bridge subtracts the mean vector of the training captions: all texts share it, so it separates none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors, unit
from firstsight.encoders.starter.weight_files import read_weights

TEMPERATURE = 1.5
"""Temperature of the classifier's softmax; above 1, less certain classes count more."""


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return weights


class Bridge:
    """Maps tower outputs to unit vectors.

    Args:
        weights: `text_mean` (384), `class_vectors` (1000, 384, centred) and, after training, `linear` (1280, 384),
            `hidden` (1280 + 384, h), `hidden_bias` (h), `out` (h, 384) and `out_bias` (384).
    """

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        # Stored as float16 to save space; computed in float32.
        self._weights = {name: values.astype(np.float32) for name, values in weights.items()}

    @classmethod
    def load(cls, path: Path) -> Bridge:
        """Read the weights from a safetensors file.

        Raises:
            EncoderError: if the file is missing or damaged.
        """
        return cls(read_weights(path, "the starter bridge "))

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name, in float32; do not change them."""
        return self._weights

    @property
    def text_mean(self) -> NDArray[np.float32]:
        """(384,) mean vector of the training captions, subtracted from texts."""
        return self._weights["text_mean"]

    def untrained(self) -> Bridge:
        """Return the start of the training: ConSE over the same towers, with the same centring."""
        return Bridge({name: self._weights[name] for name in ("text_mean", "class_vectors")})

    def texts(self, sentences: NDArray[np.float32]) -> Vectors:
        """Map (n, 384) sentence vectors of the text tower to (n, 384) unit rows."""
        return unit(unit(sentences) - self._weights["text_mean"])

    def pictures(self, features: NDArray[np.float32], logits: NDArray[np.float32]) -> Vectors:
        """Map (n, 1280) features and (n, 1000) logits of the picture tower to (n, 384) unit rows."""
        weights = self._weights
        start = unit(softmax(logits / np.float32(TEMPERATURE)) @ weights["class_vectors"])
        if "linear" not in weights:
            return start
        inner = np.concatenate([features, start], axis=1) @ weights["hidden"] + weights["hidden_bias"]
        change = features @ weights["linear"] + np.maximum(inner, 0) @ weights["out"] + weights["out_bias"]
        return unit(start + change)
