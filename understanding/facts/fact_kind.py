"""What one kind of fact needs and gives: a function for pictures, and columns of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from firstsight.indexer.facts.item_facts import FactItem as FactItem
from firstsight.indexer.facts.item_facts import FactView as FactView
from firstsight.media.picture_facts import PictureFact


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


def version_of(kind: FactKind) -> str:
    """Version of a kind: that of its function, or of a kind without one its `version`, if it has that, else empty.

    Stored facts of another version are outdated.
    """
    return kind.picture_fact.version if kind.picture_fact else str(getattr(kind, "version", ""))
