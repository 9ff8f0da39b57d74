"""Databases with items that the store writes directly, without encoding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firstsight.encoders.base import EncoderSpec
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store

MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """A function that makes a database of the items of a space, with titles by item id."""

    def made(space: ItemSpace, titles: dict[str, str] | None = None, name: str = "db") -> Store:
        spec = EncoderSpec(name="synthetic", dim=space.vectors.shape[1], image_size=1, fingerprint="of vectors alone")
        store = Store.create(tmp_path / name, spec)
        write_items(store, space, titles)
        return store

    return made


def write_items(store: Store, space: ItemSpace, titles: dict[str, str] | None = None) -> None:
    """Write the items of a space; items with the same ids are overwritten."""
    now = datetime.now(UTC)
    store.write_items(
        [
            {
                "item_id": item_id,
                "kind": "product",
                "title": (titles or {}).get(item_id),
                "vector": vector.tolist(),
                "digest": "d",
                "row_digest": "r",
                "catalog_dir": "",
                "indexed_at": now,
                "run_id": "run",
            }
            for item_id, vector in zip(space.item_ids.tolist(), space.vectors, strict=True)
        ]
    )
