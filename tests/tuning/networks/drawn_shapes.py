"""A drawn catalogue for tuning: coloured shapes with their names as titles."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from firstsight.tuning.tuning_data import TuningData, TuningItem

COLOURS: Final = {"red": (220, 20, 20), "green": (20, 180, 40), "blue": (30, 60, 220), "black": (0, 0, 0)}
SHAPES: Final = ("shoe", "table", "lamp")  # words that the tiny tokenisers know
SIDE: Final = 48


def drawn_catalogue(count: int, seed: int = 0) -> TuningData:
    """Draw items with one picture each, on a random grey; each item is a product of its own."""
    rng = np.random.default_rng(seed)
    items, pictures = [], []
    for number in range(count):
        colour, shape = str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))
        pictures.append(_draw(COLOURS[colour], shape, rng))
        phrases = {"title": f"{colour} {shape}", "color": colour}
        items.append(TuningItem(f"item-{number}", f"product-{number}", phrases, (number,)))
    return TuningData(tuple(items), pictures, tuple(range(count)))


def _draw(colour: tuple[int, int, int], shape: str, rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), (int(rng.integers(110, 160)),) * 3)
    draw = ImageDraw.Draw(picture)
    left, top = (int(start) for start in rng.integers(2, 14, 2))
    right, bottom = left + 30, top + 30
    if shape == "shoe":
        draw.rectangle((left, top + 12, right, bottom), fill=colour)
    elif shape == "table":
        draw.ellipse((left, top, right, bottom), fill=colour)
    else:
        draw.polygon(((left, bottom), (right, bottom), ((left + right) // 2, top)), fill=colour)
    return picture


def first_hits(pictures: np.ndarray, texts: np.ndarray, titles: list[str], picture_titles: list[str]) -> float:
    """Return R@1: the share of titles whose nearest picture has this title."""
    nearest = (texts @ pictures.T).argmax(axis=1)
    return float(np.mean([picture_titles[row] == title for row, title in zip(nearest, titles, strict=True)]))


def save_pictures(data: TuningData, folder: Path) -> list[Path]:
    """Write the pictures as PNG files."""
    paths = [folder / f"{row}.png" for row in range(len(data.pictures))]
    for path, picture in zip(paths, data.pictures, strict=True):
        assert isinstance(picture, Image.Image)
        picture.save(path)
    return paths
