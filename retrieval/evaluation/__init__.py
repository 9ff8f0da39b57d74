"""How well search ranks: judgements, generated queries and measures."""
