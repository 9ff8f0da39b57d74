"""Trust and safety, in the Python API."""
