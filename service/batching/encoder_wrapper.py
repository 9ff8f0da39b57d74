"""What encoders around another one have in common."""

from __future__ import annotations

from firstsight.encoders.base import Encoder, EncoderSpec


class EncoderWrapper:
    """An encoder by the name of the one inside: its vectors are those of that one."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder inside."""
        return self._encoder.spec

    @property
    def runtime(self) -> str:
        """What runs it, for the record of a run."""
        return str(getattr(self._encoder, "runtime", ""))
