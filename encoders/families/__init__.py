"""Model families: open_clip and transformers, from the Hugging Face hub or from files."""
