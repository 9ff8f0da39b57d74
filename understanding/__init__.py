"""Facts about items from their pictures and texts: colours, quality, text in pictures, language, tags."""
