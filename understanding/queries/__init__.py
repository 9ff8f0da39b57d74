"""Search queries understood by rules: colours, prices and words to avoid."""
