"""The report on policies, as a page."""
