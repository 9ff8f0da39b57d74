"""An upgrade step for tests: it marks every second item to be encoded again, and calls `during` between writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firstsight.storage.store import Store
from firstsight.storage.upgrade import UpgradeChange

during: Callable[[], object] = lambda: None  # noqa: E731


def plan(store: Store) -> Sequence[str | UpgradeChange]:
    items = _items(store)
    return [
        "Say so in a sentence.",
        UpgradeChange("Mark items.", rows=len(items), seconds=90.0, encode_again=len(items)),
    ]


def apply(store: Store) -> None:
    items = _items(store)
    for part in (items[::2], items[1::2]):
        store.encode_again(part)
        during()


def _items(store: Store) -> list[str]:
    return sorted(item_id for batch in store.item_ids() for item_id in batch)[::2]
