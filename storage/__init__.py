"""A LanceDB database: tables, locks, indexes and their upkeep, upgrades; what every package needs, indexing nothing."""

import os

# LanceDB reads this at import; otherwise it warns on stderr of inner steps, such as partitions left empty
os.environ.setdefault("LANCEDB_LOG", "error")
