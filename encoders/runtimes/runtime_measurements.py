"""What was measured about a model on this machine, kept in the cache folder so that it is measured once."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from firstsight.config import cache_dir


def read(fingerprint: str, what: str) -> dict[str, Any] | None:
    """What `write` kept; None where nothing was, or nothing readable."""
    entry = _read_all(_file(fingerprint)).get(what)
    return entry if isinstance(entry, dict) else None


def write(fingerprint: str, what: str, entry: dict[str, Any]) -> None:
    """Keep an entry for a model; a folder that cannot be written costs measuring it again, nothing else.

    Of two processes that write at once, one may lose its entry, which is then measured again.
    """
    file = _file(fingerprint)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(_read_all(file) | {what: entry}, stream, indent=1)
        Path(draft).replace(file)


def _file(fingerprint: str) -> Path:
    return cache_dir() / "verdicts" / f"{fingerprint[:32]}.json"


def _read_all(file: Path) -> dict[str, Any]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
