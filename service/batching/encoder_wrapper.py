"""Base class for encoder wrappers."""

from __future__ import annotations

from firstsight.encoders.base import Encoder, EncoderSpec


class EncoderWrapper:
    """An encoder that passes on the spec and the runtime of the encoder inside it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def spec(self) -> EncoderSpec:
        """The spec of the encoder inside."""
        return self._encoder.spec

    @property
    def runtime(self) -> str:
        """The runtime of the encoder inside, for the record of an index run; empty if it has none."""
        return str(getattr(self._encoder, "runtime", ""))
