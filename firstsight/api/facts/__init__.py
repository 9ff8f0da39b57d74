"""Facts about pictures and texts, in the Python API."""
