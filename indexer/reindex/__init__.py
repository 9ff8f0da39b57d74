"""Vectors of a second encoder: for items that a run writes, and for all stored items."""
