"""Vectors of fewer dimensions: a stored matrix behind an encoder."""
