"""Trust and safety: policies, heads on stored vectors, known pictures, and logged decisions about items."""
