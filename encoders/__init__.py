"""Encoders: pictures and texts to unit vectors. One protocol, one registry, one file per model family."""

from firstsight.encoders.registry import load_encoder

__all__ = ["load_encoder"]
