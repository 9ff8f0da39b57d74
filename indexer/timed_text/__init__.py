"""Timed text of videos: subtitle files, lines of the catalogue, and recognised speech."""
