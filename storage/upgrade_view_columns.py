"""Step to layout 3: add the columns that earlier databases lack in `views`; null means unknown."""

from __future__ import annotations

from lancedb.table import Table

from firstsight.storage.store import Store
from firstsight.storage.tables import missing_view_columns
from firstsight.storage.upgrade import UpgradeChange

SECONDS = 0.1
"""Estimated time of a commit without rows: 1 ms for 500,000 rows on a local disk, more at an object store."""


def plan(store: Store) -> list[UpgradeChange]:
    """List the missing columns."""
    names = ", ".join(field.name for field in missing_view_columns(store.views.schema))
    return [UpgradeChange(f"Add empty columns to the table of views: {names}.", seconds=SECONDS)] if names else []


def apply(store: Store) -> None:
    """Add the missing columns."""
    store.maintain(store.views, _add)


def _add(views: Table) -> None:
    missing = missing_view_columns(views.schema)
    if missing:
        views.add_columns(missing)
