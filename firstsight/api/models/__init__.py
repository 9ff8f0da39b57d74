"""Versioned models that a database learns from its events, in the Python API."""
