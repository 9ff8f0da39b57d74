"""An encoder for several threads: they take turns."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors


class TurnTakingEncoder:
    """An `Encoder` around another that is not for several threads at once; each call waits for the one before."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._turn = threading.Lock()

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    @property
    def runtime(self) -> str:
        """What runs it, for the record of a run."""
        return str(getattr(self._encoder, "runtime", ""))

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """As `Encoder.encode_images`."""
        with self._turn:
            return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Encoder.encode_texts`."""
        with self._turn:
            return self._encoder.encode_texts(texts)
