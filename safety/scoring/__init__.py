"""Scores of items under the policies."""
