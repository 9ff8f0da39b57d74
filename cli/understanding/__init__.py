"""Commands about facts: colours, quality, text in pictures, language, tags."""
