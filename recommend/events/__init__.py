"""The log of events, and interactions read from it."""
