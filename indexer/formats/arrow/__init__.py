"""Readers of Arrow data and of rows in memory: Parquet, Arrow files, data frames, lists of dicts."""
