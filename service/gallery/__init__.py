"""Data, media and static files of the gallery page."""
