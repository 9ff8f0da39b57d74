"""Child processes that decode: their messages, limits and pool."""
