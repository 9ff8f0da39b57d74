"""A drawn catalogue: coloured shapes on coloured grounds, with their names as titles."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from firstsight.tuning.tuning_data import TuningData, TuningItem

COLOURS: Final = {
    "red": (214, 32, 36), "green": (30, 160, 60), "blue": (36, 70, 214), "yellow": (240, 208, 40),
    "black": (16, 16, 16), "white": (245, 245, 245), "orange": (244, 130, 24), "purple": (130, 40, 170),
}  # fmt: skip
SHAPES: Final = ("circle", "square", "triangle", "ring", "cross")


def drawn_data(count: int, side: int, seed: int = 0) -> TuningData:
    """Draw items with one picture and one product each.

    Args:
        count: of the items.
        side: of the pictures in pixels.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    items, pictures = [], []
    for number in range(count):
        colour, ground = (str(name) for name in rng.choice(list(COLOURS), 2, replace=False))
        shape = str(rng.choice(SHAPES))
        pictures.append(_draw(shape, COLOURS[colour], COLOURS[ground], side, rng))
        phrases = {"title": f"a {colour} {shape} on {ground}", "color": colour, "category": shape}
        items.append(TuningItem(f"item-{number}", f"product-{number}", phrases, (number,)))
    return TuningData(tuple(items), pictures, tuple(range(count)))


def write_catalogue(data: TuningData, folder: Path) -> Path:
    """Write drawn items as a CSV catalogue with JPEG files; returns the catalogue."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalogue.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "color", "category", "image"])
        for item in data.items:
            (row,) = item.pictures
            picture = data.pictures[row]
            assert isinstance(picture, Image.Image)
            picture.save(folder / f"{item.item_id}.jpg", quality=90)
            writer.writerow([item.item_id, *item.phrases.values(), f"{item.item_id}.jpg"])
    return path


def _draw(
    shape: str, colour: tuple[int, int, int], ground: tuple[int, int, int], side: int, rng: np.random.Generator
) -> Image.Image:
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    size = int(rng.integers(side // 3, side * 2 // 3))
    left, top = (int(start) for start in rng.integers(0, side - size, 2))
    right, bottom = left + size, top + size
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif shape == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    elif shape == "triangle":
        draw.polygon(((left, bottom), (right, bottom), (left + size // 2, top)), fill=colour)
    elif shape == "ring":
        draw.ellipse((left, top, right, bottom), outline=colour, width=max(2, size // 5))
    else:
        third = size // 3
        draw.rectangle((left + third, top, right - third, bottom), fill=colour)
        draw.rectangle((left, top + third, right, bottom - third), fill=colour)
    return picture
