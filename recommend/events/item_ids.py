"""Ids of the index, to which events are matched: ids of items, and ids of variants that were merged into an item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from firstsight.storage.product_groups import VARIANT_IDS_COLUMN
from firstsight.storage.store import Store

_BATCH = 10_000

_Texts: TypeAlias = "pa.Array[Any]"


class ItemIds:
    """All ids of a database as Arrow arrays, which need little more memory than their text."""

    def __init__(self, store: Store) -> None:
        ids = [pa.array(batch, pa.large_string()) for batch in store.item_ids()]
        self._ids = pa.concat_arrays(ids) if ids else pa.array([], pa.large_string())
        self._variants, self._items = _merged_variants(store)

    def __len__(self) -> int:
        return len(self._ids)

    def known(self, ids: Iterable[str]) -> set[str]:
        """The ids that are in the index, as an item or as a variant of one."""
        asked = pa.array(list(dict.fromkeys(ids)), pa.large_string())
        found = pc.or_(pc.is_in(asked, value_set=self._ids), pc.is_in(asked, value_set=self._variants))
        return set(map(str, asked.filter(found).to_pylist()))

    def items_of_variants(self, ids: Iterable[str]) -> dict[str, str]:
        """The item of each id that is only a merged variant; other ids are left out."""
        asked = pa.array(list(dict.fromkeys(ids)), pa.large_string())
        if not len(self._variants):
            return {}
        asked = asked.filter(pc.invert(pc.is_in(asked, value_set=self._ids)))
        places = pc.index_in(asked, value_set=self._variants)
        asked, places = asked.filter(places.is_valid()), places.drop_null()
        items = self._items.take(places)
        return {str(variant): str(item) for variant, item in zip(asked.to_pylist(), items.to_pylist(), strict=True)}


def _merged_variants(store: Store) -> tuple[_Texts, _Texts]:
    """(variants, items): two arrays of the same length, from items with the column `variant_ids`."""
    parts: list[tuple[_Texts, _Texts]] = []
    if VARIANT_IDS_COLUMN in store.items.schema.names:
        query = store.items.search().select(["item_id", VARIANT_IDS_COLUMN])
        for batch in query.where(f"{VARIANT_IDS_COLUMN} IS NOT NULL").limit(None).to_batches(_BATCH):
            pairs = list(_pairs(batch))
            parts.append(
                (
                    pa.array([variant for variant, _ in pairs], pa.large_string()),
                    pa.array([item for _, item in pairs], pa.large_string()),
                )
            )
    empty = pa.array([], pa.large_string())
    return (
        pa.concat_arrays([empty, *(variants for variants, _ in parts)]),
        pa.concat_arrays([empty, *(items for _, items in parts)]),
    )


def _pairs(batch: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    for item_id, text in zip(batch["item_id"].to_pylist(), batch[VARIANT_IDS_COLUMN].to_pylist(), strict=True):
        try:
            variants = json.loads(str(text))
        except (ValueError, RecursionError):  # a column of the catalogue that only has the same name
            continue
        if isinstance(variants, list):
            yield from ((str(variant), str(item_id)) for variant in variants if isinstance(variant, str | int))
