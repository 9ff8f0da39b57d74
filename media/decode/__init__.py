"""Decoders of pictures and videos, one file per decoder, and the samplers that use them."""
