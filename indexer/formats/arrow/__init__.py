"""Conversion of Arrow data to rows."""
