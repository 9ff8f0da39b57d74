"""Where things lie by default, and the environment variables that move them."""

from __future__ import annotations

import os
from pathlib import Path

DB_VARIABLE = "FIRSTSIGHT_DB"
CACHE_VARIABLE = "FIRSTSIGHT_CACHE"


def default_db() -> str:
    """The database used when none is named: `$FIRSTSIGHT_DB`, else `./firstsight-db`."""
    return os.environ.get(DB_VARIABLE) or "firstsight-db"


def cache_dir() -> Path:
    """The folder for what can be made again: `$FIRSTSIGHT_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "firstsight"
