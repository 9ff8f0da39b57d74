"""Recognise and parse the contents of catalogue files: encodings, CSV records, JSON read in pieces."""
