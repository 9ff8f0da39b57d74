"""The parts of a `Database`."""
