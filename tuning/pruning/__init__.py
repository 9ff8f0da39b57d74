"""Structured pruning of the text tower: heads and MLP units of little importance are cut out."""
