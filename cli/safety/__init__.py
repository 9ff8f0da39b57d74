"""Commands of `firstsight safety`."""
