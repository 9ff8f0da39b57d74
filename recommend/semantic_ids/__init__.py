"""Semantic IDs: codebooks, codes, clusters, and their tables."""
