"""Columns of a catalogue: what each of them holds, and how its cells are read."""
