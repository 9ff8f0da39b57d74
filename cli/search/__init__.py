"""Commands that search, and that measure and improve search."""
