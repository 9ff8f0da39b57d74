"""The page and the card of a tuned model."""
