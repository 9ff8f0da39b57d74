"""Text in the pictures and frames of items, as the facts of their views hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from firstsight.storage.facts.view_fact_table import read_view_facts
from firstsight.storage.store import Store
from firstsight.storage.tables import Part
from firstsight.storage.view_order import view_order

FACT: Final = "ocr"
"""Name of the fact."""

Box = tuple[tuple[float, float], ...]
"""Corners (x, y) of a line as shares of width and height, clockwise from the text's top left."""


@dataclass(frozen=True)
class PictureLine:
    """A line of text in a picture."""

    text: str
    score: float  # mean probability of its characters, 0 to 1
    box: Box


@dataclass(frozen=True)
class TextInPicture:
    """The text of a picture or frame."""

    view_id: str
    part: Part  # "image" or "frame"
    uri: str | None  # as stored
    time_s: float | None  # second of a frame in its video
    lines: tuple[PictureLine, ...]  # in reading order


def read_picture_texts(store: Store, item_ids: Sequence[str]) -> dict[str, list[TextInPicture]]:
    """Text in the pictures and frames of items, by item id, pictures first; items without text are left out.

    Args:
        store: the database.
        item_ids: ids of the items.
    """
    if not item_ids:
        return {}
    lines = {view_id: picture_lines(facts) for view_id, facts in read_view_facts(store, item_ids).items()}
    views = store.view_rows(item_ids).select(["item_id", "view_id", "part", "uri", "time_s"]).to_pylist()
    texts: dict[str, list[TextInPicture]] = {}
    for view in sorted(views, key=lambda view: (view["part"] != "image", view_order(view["view_id"]))):
        if of_view := lines.get(view["view_id"]):
            text = TextInPicture(view["view_id"], view["part"], view["uri"], view["time_s"], of_view)
            texts.setdefault(view["item_id"], []).append(text)
    return texts


def picture_lines(facts: Mapping[str, Mapping[str, Any]]) -> tuple[PictureLine, ...]:
    """The lines of text among the facts of a view, as `read_view_facts` returns them."""
    stored = facts.get(FACT, {}).get("value") or ()
    return tuple(
        PictureLine(line["text"], float(line["score"]), tuple((float(x), float(y)) for x, y in line["box"]))
        for line in stored
    )
