"""Readers of catalogue files, folders and rows in memory: one module per format."""
