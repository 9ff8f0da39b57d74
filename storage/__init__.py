"""A LanceDB database: its tables, locks, indexes, upkeep and upgrades."""

import os

# LanceDB reads this at import; by default it warns on stderr about internal details, such as empty partitions
os.environ.setdefault("LANCEDB_LOG", "error")
