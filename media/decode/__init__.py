"""Decoders of pictures and videos, one file each, and the samplers that use them."""
