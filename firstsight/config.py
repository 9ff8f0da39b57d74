"""Default paths, and the environment variables that change them."""

from __future__ import annotations

import os
from pathlib import Path

DB_VARIABLE = "FIRSTSIGHT_DB"
CACHE_VARIABLE = "FIRSTSIGHT_CACHE"


def default_db() -> str:
    """The default database: `$FIRSTSIGHT_DB`, else `./firstsight-db`."""
    return os.environ.get(DB_VARIABLE) or "firstsight-db"


def cache_dir() -> Path:
    """The folder for caches: `$FIRSTSIGHT_CACHE`, else `firstsight` in the user's cache folder."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "firstsight"
