"""Scoring of items under the policies."""
