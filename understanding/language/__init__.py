"""Languages of titles and texts."""
