"""Search results moved up or down by the interests of a user."""
