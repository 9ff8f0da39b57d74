"""Media of an index run: fetched and decoded ahead of the encoder, each address once."""
