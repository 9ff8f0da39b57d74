"""Corruptions that move the picture or put something over it: crop, rotation, mirror, border, text, watermark, collage.

Each returns a picture of the size that it was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

_KEPT_SIDE: Final = (0.9, 0.8, 0.7, 0.6, 0.5)  # share of each side that a crop keeps
_DEGREES: Final = (5, 10, 20, 30, 45)
_BORDER: Final = (0.03, 0.06, 0.1, 0.16, 0.24)  # width of the border, as a share of the shorter side
_TEXT_LINES: Final = (1, 2, 3, 4, 5)
_TEXT_HEIGHT: Final = 0.11  # of a line, as a share of the picture's height
_WATERMARK_OPACITY: Final = (0.15, 0.25, 0.4, 0.55, 0.7)
_MAX_WATERMARK_LINES: Final = 24
_WATERMARK_STEP: Final = (0.5, 0.42, 0.34, 0.28, 0.22)  # between two marks, as a share of the shorter side

_SLOGANS: Final = ("SALE -50%", "NEW IN", "FREE SHIPPING", "BEST PRICE", "ONLY TODAY", "2 FOR 1", "LIMITED OFFER")
_WATERMARKS: Final = ("SAMPLE", "PREVIEW", "SHOP.EXAMPLE")
_COLOURS: Final = ("#ffffff", "#000000", "#d7261e", "#f7d417", "#1f5fbf", "#0a7d33")

_FONT_SIZE: Final = 48
"""Texts are drawn in this size and scaled: Pillow's font without FreeType has one size only."""


def crop(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Keep a part of the picture at a random place, enlarged to the whole size."""
    kept = _KEPT_SIDE[strength - 1]
    width, height = (max(1, round(side * kept)) for side in picture.size)
    across, down = rng.random(2)
    left, top = round(across * (picture.width - width)), round(down * (picture.height - height))
    part = picture.crop((left, top, left + width, top + height))
    return part.resize(picture.size, Image.Resampling.BICUBIC)


def rotation(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Turn the picture left or right; the corners get the colour of its edge."""
    degrees = _DEGREES[strength - 1] * (1 if rng.random() < 0.5 else -1)
    return picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=_edge_colour(picture))


def mirror(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Swap left and right."""
    return ImageOps.mirror(picture)


def border(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Put the whole picture into a coloured frame."""
    width = round(_BORDER[strength - 1] * min(picture.size))
    framed = Image.new("RGB", picture.size, _COLOURS[int(rng.integers(len(_COLOURS)))])
    inner = (max(1, picture.width - 2 * width), max(1, picture.height - 2 * width))
    left, top = (picture.width - inner[0]) // 2, (picture.height - inner[1]) // 2
    framed.paste(picture.resize(inner, Image.Resampling.LANCZOS), (left, top))
    return framed


def text_overlay(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Write lines of advertising over the picture; more lines at each strength."""
    result = picture.copy()
    slogans = rng.permutation(_SLOGANS)
    rows = rng.permutation(len(_TEXT_LINES))  # a stronger overlay has the lines of the weaker ones
    colour, outline = ("#ffffff", "#000000") if rng.random() < 0.5 else ("#d7261e", "#ffffff")
    height = max(1, round(_TEXT_HEIGHT * picture.height))
    for line in range(_TEXT_LINES[strength - 1]):
        mark = _drawn_text(str(slogans[line]), colour, outline)
        width = min(round(mark.width * height / mark.height), round(0.96 * picture.width)) or 1
        mark = mark.resize((width, height), Image.Resampling.BICUBIC)
        left = round(float(rng.random()) * (picture.width - width))
        top = round((int(rows[line]) + 0.5) / len(_TEXT_LINES) * picture.height - height / 2)
        result.paste(mark, (left, top), mark)
    return result


def watermark(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Repeat a half-transparent text over the picture, in slanted lines."""
    mark = _drawn_text(_WATERMARKS[int(rng.integers(len(_WATERMARKS)))], "#ffffff", "#000000")
    side = min(picture.size)
    reach = math.ceil(math.hypot(*picture.size)) + 1
    # a thin picture would get thousands of tiny marks
    step = max(2, reach // _MAX_WATERMARK_LINES, round(_WATERMARK_STEP[strength - 1] * side))
    height = max(1, round(step / 3))
    mark = mark.resize((max(1, round(mark.width * height / mark.height)), height), Image.Resampling.BICUBIC)
    layer = Image.new("RGBA", (reach, reach))
    for row, top in enumerate(range(0, reach, step)):
        # neighbouring lines are shifted against each other
        for left in range(-(row % 2) * mark.width // 2, reach, mark.width + height):
            layer.alpha_composite(mark, (max(left, 0), top), (max(-left, 0), 0))
    layer = layer.rotate(30, Image.Resampling.BICUBIC)
    left, top = (reach - picture.width) // 2, (reach - picture.height) // 2
    layer = layer.crop((left, top, left + picture.width, top + picture.height))
    opacity = _WATERMARK_OPACITY[strength - 1]
    alpha = layer.getchannel("A").point([round(level * opacity) for level in range(256)])
    result = picture.copy()
    result.paste(layer.convert("RGB"), (0, 0), alpha)
    return result


def collage(picture: Image.Image, rng: np.random.Generator, others: Sequence[Image.Image]) -> Image.Image:
    """Show the picture as one of four, each in a quarter of the size.

    Args:
        picture: the picture.
        rng: draws its place.
        others: pictures of the other quarters, repeated if there are fewer than three; plain colours if there are none.
    """
    result = Image.new("RGB", picture.size, "#ffffff")
    place = int(rng.integers(4))
    width, height = max(1, picture.width // 2), max(1, picture.height // 2)
    colours = rng.permutation(_COLOURS)
    for quarter in range(4):
        corner = ((quarter % 2) * (picture.width - width), (quarter // 2) * (picture.height - height))
        if quarter == place:
            shown = picture.resize((width, height), Image.Resampling.LANCZOS)
        elif others:
            shown = ImageOps.fit(others[quarter % len(others)], (width, height), Image.Resampling.LANCZOS)
        else:
            shown = Image.new("RGB", (width, height), str(colours[quarter]))
        result.paste(shown, corner)
    return result


def _drawn_text(text: str, colour: str, outline: str) -> Image.Image:
    """Draw a text with an outline in Pillow's own font: an RGBA picture of its size."""
    font = _font()
    edge = 3 if isinstance(font, ImageFont.FreeTypeFont) else 0  # the bitmap font has no outlines
    probe = ImageDraw.Draw(Image.new("RGBA", (1, 1)))
    left, top, right, bottom = probe.textbbox((0, 0), text, font=font, stroke_width=edge)
    drawn = Image.new("RGBA", (max(1, math.ceil(right - left)), max(1, math.ceil(bottom - top))))
    ImageDraw.Draw(drawn).text((-left, -top), text, fill=colour, font=font, stroke_width=edge, stroke_fill=outline)
    return drawn


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font inside Pillow: a FreeType font if Pillow was built with it, else a bitmap font. No system font."""
    try:
        return ImageFont.load_default(_FONT_SIZE)
    except ImportError:
        return ImageFont.load_default()


def _edge_colour(picture: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(level) for level in np.median(edge, axis=0))
    return red, green, blue
