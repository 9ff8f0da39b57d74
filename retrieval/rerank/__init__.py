"""Rerankers: features of candidates, fitting, and use."""
