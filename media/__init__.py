"""Fetching, decoding and sampling of pictures and videos within limits. Knows no model and no database."""
