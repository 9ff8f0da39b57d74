"""Measurements of models on this machine, kept in the cache folder so that each is made once."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from firstsight.config import cache_dir


def read(fingerprint: str, key: str) -> dict[str, Any] | None:
    """Return a stored entry of a model; None if it does not exist or cannot be read."""
    entry = _read_all(_file(fingerprint)).get(key)
    return entry if isinstance(entry, dict) else None


def write(fingerprint: str, key: str, entry: dict[str, Any]) -> None:
    """Store an entry of a model; if the folder is not writable, later processes measure again.

    If two processes write at once, one entry may be lost and is measured again.
    """
    file = _file(fingerprint)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(_read_all(file) | {key: entry}, stream, indent=1)
        Path(draft).replace(file)


def _file(fingerprint: str) -> Path:
    return cache_dir() / "verdicts" / f"{fingerprint[:32]}.json"


def _read_all(file: Path) -> dict[str, Any]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
