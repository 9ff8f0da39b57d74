"""Items, views and failures of a database, as it stores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from firstsight.errors import FailureReason, QueryError
from firstsight.indexer.columns.catalog_options import TIMES
from firstsight.indexer.columns.column_values import ColumnValue
from firstsight.media.stored_media import open_address
from firstsight.records import Record, plain_value
from firstsight.retrieval.results import locate
from firstsight.storage.facts.fact_names import facts_of_row
from firstsight.storage.facts.view_fact_table import read_view_facts
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS, Part
from firstsight.storage.view_order import view_order
from firstsight.vectors import Vector


@dataclass(frozen=True)
class View(Record):
    """An encoded part of an item. Comparisons leave the vector out."""

    view_id: str
    item_id: str
    part: Part
    uri: str | None  # path or address of the picture or video, ready to open; None for a title
    time_s: float | None  # position of a video frame in seconds; of a passage of timed text, its start
    start_s: float | None  # start of the shot that the frame shows, or of the passage
    end_s: float | None
    fingerprint: str | None  # PDQ of the picture or frame, hexadecimal; None for a title or a flat picture
    version: str | None  # ETag or Last-Modified of a remote medium when it was encoded
    text: str | None  # of a passage of timed text, one line per line; None for other parts
    line_starts: tuple[float, ...] | None  # second of each line of `text`
    language: str | None  # tag of the passage's language, such as "pt-BR"; None if unknown
    facts: Mapping[str, Any]  # name -> value, of functions that looked at its picture; None: they could not tell
    vector: Vector = field(compare=False, repr=False)

    def to_dict(self, *, vectors: bool = True) -> dict[str, Any]:
        """Return the view as plain values for JSON.

        Args:
            vectors: include the vector.
        """
        return {name: plain_value(value) for name, value in self.to_row().items() if vectors or name != "vector"}


@dataclass(frozen=True)
class Item(Record):
    """An item with its views. Comparisons leave the vector out."""

    item_id: str
    kind: str  # "product", "video" or "live"
    title: str | None
    text: str | None
    created_at: datetime | None
    starts_at: datetime | None
    expires_at: datetime | None
    indexed_at: datetime
    columns: Mapping[str, ColumnValue]  # the catalogue's own columns
    facts: Mapping[str, Any]  # found in pictures and texts, such as {"colour": "red"}; unknown ones are left out
    vector: Vector | None = field(compare=False, repr=False)  # None if nothing of the item could be encoded
    views: tuple[View, ...] = field(repr=False)  # in the order of the catalogue's media

    def to_dict(self, *, vectors: bool = True) -> dict[str, Any]:
        """Return the item and its views as plain values for JSON.

        Args:
            vectors: include the vectors.
        """
        if vectors:
            return super().to_dict()
        plain = {name: plain_value(value) for name, value in self.to_row().items() if name not in {"vector", "views"}}
        return plain | {"views": [view.to_dict(vectors=False) for view in self.views]}


@dataclass(frozen=True)
class Failure(Record):
    """A medium or title of an item that could not be used."""

    item_id: str
    uri: str  # as in the catalogue; empty for a title, or for an item with nothing to encode
    stage: str  # "catalog", "fetch", "decode", "speech" or "encode"
    reason: FailureReason
    message: str  # one sentence
    attempts: int
    last_seen: datetime  # UTC


def read_item(store: Store, item_id: str) -> Item:
    """Read an item with its views.

    Raises:
        QueryError: there is no such item.
    """
    row = store.item_rows([item_id]).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    views = []
    stored = [field.name for field in fields(View) if field.name != "facts"]
    view_rows = store.view_rows([item_id]).select(stored).to_pylist()
    facts = read_view_facts(store, [item_id])
    for view in sorted(view_rows, key=lambda view: view_order(view["view_id"])):
        view["fingerprint"] = view["fingerprint"].hex() if view["fingerprint"] else None
        view["uri"] = locate(open_address(view["uri"], store.uri), row["catalog_dir"]) if view["uri"] else None
        view["line_starts"] = view["line_starts"] and tuple(view["line_starts"])
        view["facts"] = {name: fact["value"] for name, fact in facts.get(view["view_id"], {}).items()}
        view["vector"] = np.asarray(view["vector"], dtype=np.float32)
        views.append(View(**view))
    return Item(
        **{name: row[name] for name in ("item_id", "kind", "title", "text", *TIMES, "indexed_at")},
        columns={name: row[name] for name in store.column_kinds()},
        facts=facts_of_row(row),
        vector=None if row["vector"] is None else np.asarray(row["vector"], dtype=np.float32),
        views=tuple(views),
    )


def choose_pictures(store: Store, item_ids: Sequence[str]) -> dict[str, str]:
    """Choose the picture to show for each item: its first image, else its first frame.

    Returns:
        item_id to view_id; items without pictures are left out.
    """
    views = store.view_rows(item_ids).select(["item_id", "view_id", "part"]).to_pylist()
    shown = [view for view in views if view["part"] in PICTURE_PARTS]
    shown.sort(key=lambda view: (view["part"] != "image", view_order(view["view_id"])), reverse=True)
    return {view["item_id"]: view["view_id"] for view in shown}


def read_failures(store: Store) -> list[Failure]:
    """Read all failures, sorted by item and address."""
    names = [field.name for field in fields(Failure)]
    return [Failure(**{name: row[name] for name in names}) for row in store.failure_rows()]
