"""Pictures with rendered text."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont


def render(
    lines: Sequence[tuple[str, tuple[int, int]]], size: tuple[int, int] = (600, 400), points: int = 32
) -> Image.Image:
    """A white picture with lines of black text, each at the place (x, y) of its top left."""
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for text, place in lines:
        draw.text(place, text, fill="black", font=ImageFont.load_default(points))
    return picture
