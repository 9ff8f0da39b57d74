"""The quality of pictures as a kind of fact, in the column `fact_quality`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from firstsight.indexer.facts.item_facts import FactItem, FactView
from firstsight.media.picture_facts import PictureFact
from firstsight.understanding.quality.picture_quality import FACT
from firstsight.understanding.quality.problems import find_problems, in_order
from firstsight.understanding.quality.watermarks import OCR, WatermarkTexts, placed_texts

NAME: Final = FACT.name
COLUMN: Final = "fact_quality"

WORST_IS_HIGH: Final[Mapping[str, bool]] = {
    "width": False,
    "height": False,
    "aspect": True,  # the one farthest from 1
    "bars": True,
    "blur": True,
    "detail": False,
    "enlargement": True,
    "blocking": True,
    "brightness": False,
    "clipped": True,
    "white_background": False,
    "content": False,
    "watermark": True,
}
"""Measures of an item, and whether its worst picture is the one with the highest value."""

_FIELD: Final = pa.field(
    COLUMN, pa.struct([*(pa.field(name, pa.float32()) for name in WORST_IS_HIGH), pa.field("problems", pa.string())])
)


class QualityFacts:
    """The quality of an item's pictures: each measure from the picture that is worst in it, and all their problems."""

    @property
    def name(self) -> str:
        """Name of the kind."""
        return NAME

    @property
    def picture_fact(self) -> PictureFact:
        """The function that measures pictures; video frames are not measured."""
        return FACT

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """The column `fact_quality`: measures, and `problems`, comma-separated names ("" for none)."""
        return [_FIELD]

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Combine the pictures of each item.

        A watermark by repetition is found among the pictures of these items; without OCR, `watermark` is None.
        """
        repeated = WatermarkTexts()
        for item in items:
            for view in _measured(item):
                repeated.add(item.item_id, placed_texts(view.facts.get(OCR)))
        return [{COLUMN: _worst([_with_watermark(view, repeated) for view in _measured(item)])} for item in items]


def picture_measures(facts: Mapping[str, Any], repeated: WatermarkTexts) -> dict[str, Any] | None:
    """Measures of one picture with its watermark (1 or 0; None without OCR); None if it was not measured.

    Args:
        facts: values of the facts of the view, by name.
        repeated: texts of the other pictures.
    """
    measures = facts.get(NAME)
    if not isinstance(measures, dict):
        return None
    read = facts.get(OCR)
    watermark = None if read is None else float(repeated.watermark(placed_texts(read)) is not None)
    return {**measures, "watermark": watermark}


def _measured(item: FactItem) -> list[FactView]:
    return [view for view in item.views if view.part == "image" and isinstance(view.facts.get(NAME), dict)]


def _with_watermark(view: FactView, repeated: WatermarkTexts) -> dict[str, Any]:
    return picture_measures(view.facts, repeated) or {}


def _worst(pictures: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not pictures:
        return None
    smallest = min(pictures, key=lambda measures: measures["width"] * measures["height"])
    aspects = [measures["width"] / measures["height"] for measures in pictures]
    worst: dict[str, Any] = {}
    for name, is_high in WORST_IS_HIGH.items():
        values = [measures[name] for measures in pictures if measures.get(name) is not None]
        worst[name] = float((max if is_high else min)(values)) if values else None
    worst["width"], worst["height"] = float(smallest["width"]), float(smallest["height"])
    worst["aspect"] = max(aspects, key=lambda aspect: abs(math.log(aspect)))
    found = (problem.kind.name for measures in pictures for problem in find_problems(measures))
    worst["problems"] = ",".join(in_order(found))
    return worst
