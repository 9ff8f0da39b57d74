"""Items drawn from a database or a catalogue, with one picture each that is opened again."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from firstsight.errors import MediaError, QueryError
from firstsight.indexer.catalog import Catalog, catalog_root
from firstsight.indexer.row_reader import CatalogItem, placeholder_address
from firstsight.media.fetch.fetched_media import fetch_bytes
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import open_address
from firstsight.retrieval.evaluation.robustness.slice_columns import guessed_facts, language_column
from firstsight.retrieval.results import locate
from firstsight.storage.facts.fact_names import FactNames
from firstsight.storage.facts.item_values import find_item_value
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store
from firstsight.storage.tables import is_shown_column

_LANGUAGE = "language"

WORKING_SIDE = 512
"""Longer side of a picture before it is corrupted, in pixels, so that a corruption means the same for any file."""


@dataclass(frozen=True)
class SampledItem:
    """An item whose picture is corrupted."""

    item_id: str
    product: str  # items of one product are relevant to each other, and are drawn together by the bootstrap
    title: str
    columns: Mapping[str, Any]
    address: str  # of its first picture, as `fetch_bytes` takes it
    data: bytes | None = None  # of a picture inside the catalogue


@dataclass(frozen=True)
class ItemSample:
    """Drawn items, and what they are drawn from."""

    items: tuple[SampledItem, ...]
    population: int  # items with a picture
    policy: MediaPolicy  # for their pictures
    source: str  # name of the database or catalogue
    column_names: tuple[str, ...]

    def pictures(self, items: Sequence[SampledItem], side: int = WORKING_SIDE) -> Iterator[Image.Image | MediaError]:
        """Open the pictures of items, shrunk to `side` pixels on the longer side.

        Yields:
            An RGB picture for each item; a MediaError if it cannot be read.
        """
        for item in items:
            try:
                data = fetch_bytes(item.address, self.policy) if item.data is None else item.data
                picture = open_picture(data, min_side=side, max_pixels=self.policy.max_pixels)
            except MediaError as error:
                yield error
                continue
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            yield picture


def sample_store(store: Store, count: int, seed: int, policy: MediaPolicy, first: Sequence[str] = ()) -> ItemSample:
    """Draw items with a picture from a database; the sample does not depend on their order.

    Args:
        store: the database.
        count: maximum number of items.
        seed: random seed.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.
        first: ids of items to take before others.

    Raises:
        QueryError: no item has a picture.
    """
    views: dict[str, tuple[str, str]] = {}  # item id -> its first picture view and its address
    rows = store.views.search().where("part = 'image'").select(["item_id", "view_id", "uri"]).limit(None)
    for batch in rows.to_batches(10_000):
        for row in batch.to_pylist():
            if row["uri"] is not None and (row["item_id"] not in views or row["view_id"] < views[row["item_id"]][0]):
                views[row["item_id"]] = (row["view_id"], row["uri"])
    if not views:
        raise QueryError(f"{store.uri} has no item with a picture; index a catalogue with pictures")
    wanted = set(first)
    chosen = heapq.nsmallest(count, views, key=lambda item_id: (item_id not in wanted, _place(item_id, seed)))
    stored = store.item_rows(chosen)
    names = [name for name in store.items.schema.names if is_shown_column(name)]
    listed = [*guessed_facts(names), *(name for name, _, _ in FactNames(store.items.schema).shown())]
    if language_column(names) is not None:  # a shop's own comes first
        listed = [name for name in listed if name != _LANGUAGE]
    found = [find_item_value(store, name, ()) for name in dict.fromkeys(listed) if name not in names]
    facts = [value for value in found if value is not None]
    names += [value.name for value in facts]
    items = []
    for item_id in chosen:
        if item_id in stored:  # else removed since
            row = stored[item_id]
            where = locate(open_address(views[item_id][1], store.uri), row["catalog_dir"])
            columns = {name: value for name, value in row.items() if is_shown_column(name)}
            columns |= {value.name: value.of_row(row) for value in facts}
            items.append(SampledItem(item_id, product_of(row), _title(row), columns, where))
    return ItemSample(tuple(items), len(views), replace(policy, allow_anywhere=True), store.uri, tuple(names))


def sample_catalogue(
    catalog: Catalog, count: int, seed: int, policy: MediaPolicy, first: Sequence[str] = ()
) -> ItemSample:
    """Draw items with a picture from a checked catalogue; arguments and errors as for `sample_store`."""
    wanted = set(first)
    held: dict[str, bytes] = {}

    def hold(data: bytes) -> str:
        address = placeholder_address(data)
        held[address] = data
        return address

    catalog.store_medium = hold
    drawn: list[tuple[bool, bytes, SampledItem]] = []
    population = 0

    def rows() -> Iterator[tuple[bool, bytes, SampledItem]]:
        nonlocal population
        for item in catalog.items():
            if item.images:
                population += 1
                known = {name: value for name, value in vars_of(item).items() if value is not None}
                data = held.get(item.images[0])
                sampled = SampledItem(item.item_id, product_of(known), _title(known), known, item.images[0], data)
                yield item.item_id not in wanted, _place(item.item_id, seed), sampled
            held.clear()

    drawn = heapq.nsmallest(count, rows(), key=lambda row: row[:2])
    if not drawn:
        raise QueryError(f"{catalog.source.name} has no item with a picture; name the column with --map images=COLUMN")
    names = ("item_id", "kind", "title", "text", *catalog.kinds)
    root = replace(policy, root=catalog_root(catalog))
    return ItemSample(tuple(row[2] for row in drawn), population, root, catalog.source.name, names)


def vars_of(item: CatalogItem) -> dict[str, Any]:
    """The fields and columns of an item of a catalogue, by the names that a database gives them."""
    return {"item_id": item.item_id, "kind": item.kind, "title": item.title, "text": item.text, **item.columns}


def product_of(row: Mapping[str, Any]) -> str:
    """The product that an item is a variant of; its own id if it has no variants."""
    group = row.get(GROUP_COLUMN)
    return str(row["item_id"]) if group is None or not str(group).strip() else f"group {group}"


def _title(row: Mapping[str, Any]) -> str:
    return " ".join(str(row.get("title") or "").split())


def _place(item_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\n{item_id}".encode(errors="surrogatepass")).digest()
