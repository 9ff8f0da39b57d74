"""The order of an item's views; tables keep none."""

from __future__ import annotations

import re


def view_order(view_id: str) -> list[tuple[int, str]]:
    """Sort key that puts the tenth frame after the second."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", view_id)]
