"""What an index run needs for facts: functions for pictures, and columns of items computed from what they found.

`understanding.facts` implements `ItemFacts` with the kinds of facts that are on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from firstsight.media.picture_facts import JsonValue, PictureFact
from firstsight.storage.tables import Part
from firstsight.vectors import Vector


@dataclass(frozen=True)
class FactView:
    """A view of an item with its facts."""

    view_id: str
    part: Part
    vector: Vector | None = None  # None where only facts are read
    facts: Mapping[str, JsonValue] = field(default_factory=dict)  # by name of the `PictureFact`
    uri: str | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class FactItem:
    """An item whose columns of facts are computed."""

    item_id: str
    title: str | None
    text: str | None
    columns: Mapping[str, Any]  # the catalogue's own columns
    views: Sequence[FactView] = ()


class ItemFacts(Protocol):
    """The kinds of facts that a run computes."""

    @property
    def picture_facts(self) -> Sequence[PictureFact]:
        """Functions to run on decoded pictures; their names differ."""
        ...

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """Columns of `items`, named `fact_…`."""
        ...

    def columns(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Compute the columns of items.

        Returns:
            For each item, values by name of the column. A column that is left out could not be computed: its stored
            value stays.
        """
        ...


class NoFacts:
    """`ItemFacts` without any kind."""

    picture_facts: Sequence[PictureFact] = ()
    fields: Sequence[pa.Field[Any]] = ()

    def columns(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """No column for each item."""
        return [{} for _ in items]
