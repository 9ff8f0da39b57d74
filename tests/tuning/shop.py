"""A small shop whose words no encoder knows: shapes with invented names, in colours."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

Draw = Callable[[ImageDraw.ImageDraw, tuple[int, int, int, int], str], None]

SHAPES: dict[str, Draw] = {
    "blorp": lambda pen, box, colour: pen.ellipse(box, fill=colour),
    "zindle": lambda pen, box, colour: pen.rectangle(box, fill=colour),
    "quave": lambda pen, box, colour: pen.polygon(
        [(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=colour
    ),
    "trimp": lambda pen, box, colour: pen.line((box[0], box[1], box[2], box[3]), fill=colour, width=22),
}
COLOURS = ("red", "green", "blue")


def picture(shape: str, colour: str, number: int) -> Image.Image:
    """A shape on white; the number moves it and changes its size."""
    image = Image.new("RGB", (160, 160), "white")
    side, left, top = 50 + 2 * (number % 40), 10 + 5 * (number % 3), 12 + 6 * (number % 4)
    SHAPES[shape](ImageDraw.Draw(image), (left, top, left + side, top + side), colour)
    return image


def shop_rows(products: int) -> list[dict[str, str]]:
    """Products with the names of their picture files."""
    names = list(SHAPES)
    rows = []
    for number in range(products):
        shape, colour = names[number % len(names)], COLOURS[number // len(names) % len(COLOURS)]
        rows.append(
            {
                "item_id": f"p{number}",
                "title": f"{colour} {shape} of series {number}",
                "category": f"Things/{shape}",
                "color": colour,
                "image": f"p{number}.png",
            }
        )
    return rows


def write_shop(folder: Path, products: int, *, shift: int = 0) -> Path:
    """Write a catalogue with pictures and return its path.

    Args:
        shift: each product gets the picture of the product that many rows later: wrong pictures, unless 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = shop_rows(products)
    for number, row in enumerate(rows):
        shown = rows[(number + shift) % len(rows)]
        picture(shown["category"].partition("/")[2], shown["color"], number).save(folder / row["image"])
    return write_rows(folder, rows)


def write_rows(folder: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as catalogue.csv and return its path."""
    path = folder / "catalogue.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
