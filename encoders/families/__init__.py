"""Model families: open_clip and transformers, from the hub or from files."""
