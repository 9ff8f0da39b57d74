"""Kinds of facts, the settings of a database, and the facts of its items."""
