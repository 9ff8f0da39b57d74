"""Fingerprints of videos: content boxes, regions and codes, made from the thumbnails of a scan."""
