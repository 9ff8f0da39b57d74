"""Slates: interests, ranking, composition, exploration and their log."""
