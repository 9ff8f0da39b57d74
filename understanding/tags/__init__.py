"""Categories and attributes of items, learned from a shop's own labels."""
