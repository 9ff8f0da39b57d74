"""Fits of tags: vectors of items, probabilities, cuts, and the stored versions."""
