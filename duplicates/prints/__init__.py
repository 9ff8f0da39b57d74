"""Comparison of videos by their fingerprints at a fixed rate."""
