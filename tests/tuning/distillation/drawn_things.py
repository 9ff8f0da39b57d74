"""A drawn catalogue for distillations: coloured rectangles on noise."""

from __future__ import annotations

import numpy as np
from PIL import Image

from firstsight.tuning.tuning_data import TuningData, TuningItem

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "orange", "purple")
THINGS = ("shoe", "mug", "lamp", "chair", "shirt", "hat", "bag", "watch", "towel", "bottle")


def drawn_catalogue(products: int) -> TuningData:
    """Items whose pictures are drawn: a coloured shape on a background of noise."""
    rng = np.random.default_rng(0)
    items, pictures = [], []
    for row in range(products):
        colour, thing = COLOURS[row % len(COLOURS)], THINGS[(row // len(COLOURS)) % len(THINGS)]
        size = 16 + 4 * (row % 12)
        shape = Image.new("RGB", (size, 20 + 3 * (row % 9)), colour)
        picture = Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
        picture.paste(shape, (row % 40, row % 23))
        pictures.append(picture)
        items.append(TuningItem(f"item-{row}", f"product-{row}", {"title": f"{colour} {thing} number {row}"}, (row,)))
    return TuningData(tuple(items), pictures, tuple(range(products)))
