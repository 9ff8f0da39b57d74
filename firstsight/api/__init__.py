"""The parts of a `Database`, by task."""
