"""Held-out figures of a tuned encoder: folds, measures, intervals and forgetting."""
