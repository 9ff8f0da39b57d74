"""How much of a search survives corrupted pictures, typos and paraphrases."""
