"""Commands that fill and maintain a database."""
