"""The colours of items, from the colours of their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from firstsight.indexer.facts.item_facts import FactItem, FactView
from firstsight.media.picture_facts import JsonValue, PictureFact
from firstsight.understanding.colours.named_shades import COLOURS
from firstsight.understanding.colours.picture_colours import COLOUR_FACT, is_multicolour

FURTHER_WEIGHT: Final = 0.5
"""Weight of each picture after the first. They show the same product from behind, worn, or packed, so they correct the
first one, but not as much as it says: in the benchmark 0.5 finds more colours than 0 (the first alone) and 1."""

MIN_MAIN_SHARE: Final = 0.25
"""Share that the main colour has at least; below it, `fact_colour` is null."""

COLOUR_COLUMN: Final = "fact_colour"
COLOURS_COLUMN: Final = "fact_colours"

_SHARES: Final = pa.struct(
    [
        *(pa.field(colour, pa.float32()) for colour in COLOURS),
        pa.field("multicolour", pa.bool_()),
        pa.field("pattern", pa.bool_()),
    ]
)


class ColourFacts:
    """Named colours by pixels: a `FactKind`."""

    name: Final = "colours"

    @property
    def picture_fact(self) -> PictureFact:
        """The function that measures a picture."""
        return COLOUR_FACT

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """`fact_colour`, the main colour, and `fact_colours`, a share for each named colour and two flags."""
        return [pa.field(COLOUR_COLUMN, pa.string()), pa.field(COLOURS_COLUMN, _SHARES)]

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Compute the colours of items, as the weighted mean of their pictures.

        Returns:
            For each item its main colour, or None below `MIN_MAIN_SHARE`, and its shares, 0 to 1, which add up to 1.
            An item without a measured picture has None for both.
        """
        return [_colours_of(item) for item in items]


def _colours_of(item: FactItem) -> dict[str, Any]:
    views = sorted((view for view in item.views if view.part == "image"), key=_place)
    measured = (view.facts.get(COLOUR_FACT.name) for view in views)
    pictures = [fact for fact in measured if isinstance(fact, Mapping)]
    if not pictures:
        return {COLOUR_COLUMN: None, COLOURS_COLUMN: None}
    weights = [1.0, *[FURTHER_WEIGHT] * (len(pictures) - 1)]
    shares = np.average([_share_row(picture) for picture in pictures], axis=0, weights=weights)
    shares /= max(shares.sum(), 1e-9)
    main = int(shares.argmax())
    pattern = np.average([bool(picture.get("pattern")) for picture in pictures], weights=weights)
    flags = {"multicolour": is_multicolour(shares), "pattern": bool(pattern >= 0.5)}
    return {
        COLOUR_COLUMN: COLOURS[main] if shares[main] >= MIN_MAIN_SHARE else None,
        COLOURS_COLUMN: dict(zip(COLOURS, shares.tolist(), strict=True)) | flags,
    }


def _place(view: FactView) -> tuple[int, str]:
    """Sort key of the pictures of an item: views are stored in no order, and picture 10 comes after 2."""
    number = view.view_id.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0, view.view_id)


def _share_row(picture: Mapping[str, JsonValue]) -> list[float]:
    shares = picture["shares"]
    assert isinstance(shares, Mapping)
    return [float(str(shares.get(colour, 0))) for colour in COLOURS]
