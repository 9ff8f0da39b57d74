"""Off-policy evaluation: what another ranking would have earned in the slates of the log."""
