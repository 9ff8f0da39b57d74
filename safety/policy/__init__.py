"""Policies, their heads and decisions."""
