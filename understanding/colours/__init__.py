"""Named colours of pictures, by pixels, and colour words of queries."""
