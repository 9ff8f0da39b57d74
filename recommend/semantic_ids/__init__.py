"""Semantic IDs: codebooks and their table."""
