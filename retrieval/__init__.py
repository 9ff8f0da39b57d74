"""Queries over the index."""
