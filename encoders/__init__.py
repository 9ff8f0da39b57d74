"""Pictures and texts to unit vectors: one file per model family, one protocol, one registry."""

from firstsight.encoders.registry import load_encoder

__all__ = ["load_encoder"]
