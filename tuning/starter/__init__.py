"""Tuning of the `starter` encoder: its bridge, and its text tower."""
