"""How well recommenders do: protocols, measures and links."""
