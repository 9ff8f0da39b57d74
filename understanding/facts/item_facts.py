"""Several kinds of facts as one, as an index run uses them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from firstsight.indexer.facts.item_facts import FactItem
from firstsight.media.picture_facts import PictureFact
from firstsight.understanding.facts.fact_kind import FactKind, version_of

log = logging.getLogger(__name__)


class KindsOfFacts:
    """`indexer.facts.item_facts.ItemFacts` of several kinds.

    Args:
        kinds: with different names.
    """

    def __init__(self, kinds: Sequence[FactKind]) -> None:
        self.kinds = tuple(kinds)

    @property
    def picture_facts(self) -> Sequence[PictureFact]:
        """Functions of the kinds that need pictures."""
        return [kind.picture_fact for kind in self.kinds if kind.picture_fact is not None]

    @property
    def versions(self) -> dict[str, str]:
        """Version of each kind by name."""
        return {kind.name: version_of(kind) for kind in self.kinds}

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """Columns of all kinds."""
        return [field for kind in self.kinds for field in kind.fields]

    def columns(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Compute the columns of items.

        A kind leaves out its columns for an item that has pictures, but none with its fact: it was not found yet. An
        error of a kind costs its columns of the item alone.
        """
        found: list[dict[str, Any]] = [{} for _ in items]
        for kind in self.kinds:
            if not kind.fields:
                continue
            usable = [n for n, item in enumerate(items) if has_fact(item, kind.picture_fact)]
            for n, values in zip(usable, _values(kind, [items[n] for n in usable]), strict=True):
                found[n].update(values)
        return found


def has_fact(item: FactItem, fact: PictureFact | None) -> bool:
    """Whether a picture of the item has a fact; also True for an item without pictures, and without a function."""
    if fact is None:
        return True
    shown = [view for view in item.views if view.part in fact.parts]
    return not shown or any(fact.name in view.facts for view in shown)


def _values(kind: FactKind, items: Sequence[FactItem]) -> list[dict[str, Any]]:
    try:
        return kind.values(items)
    except Exception as error:  # of a kind that may not be ours: it must not cost the run
        nothing: dict[str, Any] = dict.fromkeys(field.name for field in kind.fields)
        if len(items) == 1:
            log.warning("%s of item %s could not be computed (%s)", kind.name, items[0].item_id, error)
            return [nothing]
        return [values for item in items for values in _values(kind, [item])]
