"""The sequence model: the next item from the order of events, on content vectors."""
