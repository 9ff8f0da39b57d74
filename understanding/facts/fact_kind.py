"""What one kind of fact needs and gives: a function for pictures, and columns of items."""

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


class FactKind(Protocol):
    """One kind of fact."""

    @property
    def name(self) -> str:
        """Name of the kind, such as "colours"."""
        ...

    @property
    def picture_fact(self) -> PictureFact | None:
        """The function that runs on pictures; None for facts from texts and vectors."""
        ...

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """Columns of `items` that the kind fills, named `fact_…`."""
        ...

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Compute the columns of items.

        Returns:
            For each item, a value for each of `fields`; None for "don't know".
        """
        ...
