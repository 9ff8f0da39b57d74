"""The vector sets of a database: rows of the set that is not in force, and switches between the two."""
