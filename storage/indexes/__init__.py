"""The indexes of a database: vectors, words and ids, and their upkeep."""
