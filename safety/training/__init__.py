"""Training of policy heads from labels."""
