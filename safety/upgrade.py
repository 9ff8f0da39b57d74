"""A step of the upgrade to layout 2."""

from __future__ import annotations

from firstsight.indexer.store import Store


def plan(store: Store) -> list[str]:
    """Nothing yet."""
    return []


def apply(store: Store) -> None:
    """Nothing yet."""
