"""Writing small event files for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from firstsight.recommend.items import ItemSpace, Places
from tests.recommend.synthetic_events import clustered_space

SPACE = clustered_space(12)
T = 1_700_000_000


def write_lines(path: Path, rows: Sequence[dict[str, object]]) -> str:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def event(user: str = "u", item: str | None = "i0001", timestamp: object = T, **more: object) -> dict[str, object]:
    """One row of a log."""
    return {"user_id": user, "item_id": item, "timestamp": timestamp, **more}


def ids(space: ItemSpace, places: Places) -> list[str]:
    """Item ids of rows of a space."""
    return [str(item_id) for item_id in space.item_ids[places]]
