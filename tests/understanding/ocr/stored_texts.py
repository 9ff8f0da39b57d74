"""Databases with text in pictures, as an index run leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firstsight.media.picture_facts import JsonValue
from firstsight.storage.facts.fact_columns import add_fact_columns
from firstsight.storage.facts.view_fact_table import write_view_facts
from firstsight.storage.indexes.text_index import index_texts
from firstsight.storage.store import Store
from firstsight.understanding.facts.fact_kind import FactItem, FactView
from firstsight.understanding.ocr.ocr_facts import NAME, OcrFacts

BOX: list[JsonValue] = [[0.1, 0.2], [0.5, 0.2], [0.5, 0.3], [0.1, 0.3]]


def picture_text(*lines: str) -> JsonValue:
    """Value of the fact for a picture with these lines."""
    return [{"text": line, "score": 0.97, "box": BOX} for line in lines]


def store_texts(store: Store, texts: Mapping[str, Sequence[str]]) -> None:
    """Store the lines of views, by view id, as an index run does. Other items have no text in their pictures."""
    kind = OcrFacts()
    views = store.views.search().select(["view_id", "item_id", "part"]).limit(None).to_list()
    found: dict[str, dict[str, dict[str, Any]]] = {}
    items: dict[str, list[FactView]] = {row["item_id"]: [] for row in store.items.search().limit(None).to_list()}
    for view in views:
        if view["part"] in {"image", "frame"}:
            value = picture_text(*texts.get(view["view_id"], ()))
            found.setdefault(view["item_id"], {})[view["view_id"]] = {NAME: {"version": "1", "value": value}}
            items[view["item_id"]].append(FactView(view["view_id"], view["part"], facts={NAME: value}))
    columns = kind.values([FactItem(item_id, None, None, {}, of_item) for item_id, of_item in items.items()])
    with store.writing():
        add_fact_columns(store, kind.fields)
        write_view_facts(store, found)
        for item_id, values in zip(items, columns, strict=True):
            store.items.update(where=f"item_id = '{item_id}'", values=values)
        index_texts(store)
