"""Recommendation: events and content to slates, for items nobody has clicked and users nobody knows."""
