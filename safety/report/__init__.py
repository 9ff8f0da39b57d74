"""The safety report as an HTML page."""
