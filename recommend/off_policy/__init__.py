"""Logged slates as evidence: estimates of the value of another ranking."""
