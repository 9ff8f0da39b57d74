"""Interests of a user, and the ranking of all items that slates are composed from."""
