"""A drawn shop that is unlike a shop of photos on white: backgrounds, models and patterns of its own.

Nothing here was used to choose settings. Each picture has one product of a known colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from firstsight.media.picture_facts import PictureSource
from firstsight.understanding.colours.picture_colours import measure_colours
from firstsight.understanding.quality.picture_quality import measure
from firstsight.understanding.quality.problems import find_problems

SIDE = 640
KINDS = ("plain", "gradient", "wood", "room", "model", "same")
SKINS = ("#f3d3bf", "#d9a77f", "#a9714b", "#6e4a37", "#3f2a20")
BACKGROUNDS = ("#8fb8de", "#f2c6cf", "#cfe3c8", "#3c4a5c", "#e9d8a6", "#b7b7b7")
PRODUCTS = {
    "black": ("#141416", "#242428"),
    "white": ("#f7f7f5", "#ffffff"),
    "gray": ("#7d7f83", "#a3a5a8"),
    "brown": ("#5b3a21", "#7a4f2c"),
    "beige": ("#d8c6a5", "#e2d3b8"),
    "red": ("#b3141f", "#d8202c"),
    "orange": ("#e8721a", "#f78b2d"),
    "yellow": ("#efcb1d", "#f7dd4a"),
    "green": ("#1f7a39", "#46a85c"),
    "blue": ("#1c4fa0", "#3f7fd6"),
    "purple": ("#5b2f8c", "#8657b8"),
    "pink": ("#e26fa0", "#f3a3c0"),
}


@dataclass(frozen=True)
class DrawnProduct:
    """A picture and what it shows."""

    picture: Image.Image
    colour: str
    kind: str  # one of `KINDS`, or "stripes"
    second: str = ""  # the other colour of stripes


def draw_shop(seed: int = 0) -> Iterator[DrawnProduct]:
    """Draw each colour on each kind of background, and some stripes: 84 pictures.

    Args:
        seed: random seed.
    """
    rng = np.random.default_rng(seed)
    for colour, shades in PRODUCTS.items():
        for kind in KINDS:
            shade = str(rng.choice(shades))
            yield DrawnProduct(_draw(rng, kind, shade, colour), colour, kind)
    names = list(PRODUCTS)
    for n, colour in enumerate(names):
        second = names[(n + 5) % len(names)]
        picture = _draw(rng, "plain", PRODUCTS[colour][0], colour, stripe=PRODUCTS[second][0])
        yield DrawnProduct(picture, colour, "stripes", second)


def _draw(rng: np.random.Generator, kind: str, shade: str, colour: str, stripe: str = "") -> Image.Image:
    picture = _background(rng, kind, colour)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = (float(edge + rng.integers(-20, 20)) for edge in (200, 170, 440, 480))
    if kind == "model":
        skin = SKINS[int(rng.integers(len(SKINS)))]
        draw.ellipse((260, 20, 380, 170), fill=skin)
        draw.rectangle((left - 70, top + 60, left, bottom), fill=skin)
        draw.rectangle((right, top + 60, right + 70, bottom), fill=skin)
        draw.rectangle((left + 20, bottom, right - 20, SIDE), fill=skin)
    garment = Image.new("L", (SIDE, SIDE), 0)
    shape = ImageDraw.Draw(garment)
    shape.rectangle((left, top, right, bottom), fill=255)
    shape.polygon([(left, top), (left - 90, top + 60), (left - 60, top + 120), (left, top + 90)], fill=255)
    shape.polygon([(right, top), (right + 90, top + 60), (right + 60, top + 120), (right, top + 90)], fill=255)
    cloth = np.asarray(Image.new("RGB", (SIDE, SIDE), shade), dtype=np.float32)
    if stripe:
        rows = (np.arange(SIDE) // 24 % 2 == 1)[:, None, None]
        cloth = np.where(rows, np.asarray(Image.new("RGB", (1, 1), stripe), dtype=np.float32), cloth)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    folds = 1 - 0.10 * (1 + np.sin(x / 23 + np.sin(y / 61))) / 2 - 0.08 * np.abs(x - SIDE / 2) / (SIDE / 2)
    shaded = np.clip(cloth * folds[..., None] + rng.normal(0, 2, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    picture.paste(Image.fromarray(shaded), mask=garment.filter(ImageFilter.GaussianBlur(0.7)))
    return picture


def _background(rng: np.random.Generator, kind: str, colour: str) -> Image.Image:
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))

    def filled(name: str) -> NDArray[np.floating[Any]]:
        return np.asarray(Image.new("RGB", (SIDE, SIDE), name), dtype=np.float64)

    far = [name for name in BACKGROUNDS if not _alike(name, colour)]
    name = far[int(rng.integers(len(far)))]
    if kind in ("plain", "model"):
        pixels = filled(name if kind == "plain" else "#e8e8ea")
    elif kind == "gradient":
        pixels = filled(name) * (1.1 - 0.5 * (y / SIDE))[..., None]
    elif kind == "wood":
        grain = np.sin(y / 7 + 3 * np.sin(x / 90)) * 10 + np.sin(y / 2.3 + x / 140) * 6
        pixels = filled("#b98a56") + grain[..., None] - 14 * (x // 128 % 2)[..., None]
    elif kind == "room":
        wall, floor = filled(name), filled("#9a8f84")
        pixels = np.where((y > 420)[..., None], floor + rng.normal(0, 8, (SIDE, SIDE, 1)), wall)
    else:  # of the same colour as the product, or white
        pixels = filled({"white": "#ffffff", "black": "#0b0b0c"}.get(colour, "#ffffff"))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))


def _alike(background: str, colour: str) -> bool:
    return {"#8fb8de": "blue", "#f2c6cf": "pink", "#cfe3c8": "green", "#3c4a5c": "black", "#e9d8a6": "beige"}.get(
        background, "gray"
    ) == colour


def run(data: Path) -> None:
    """Print which colours are found, and which problems are reported in these sharp pictures.

    Args:
        data: not used.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    problems: Counter[str] = Counter()
    flagged = 0
    for product in draw_shop():
        source = PictureSource(*product.picture.size, "image")
        colours: Any = measure_colours(product.picture, source)
        main = "none" if colours is None else next(iter(colours["shares"]))
        right = product.second if main == product.second else product.colour  # stripes have two equal colours
        found.setdefault(product.kind, []).append((right, main))
        flagged += product.kind == "stripes" and colours["pattern"]
        problems.update(one.kind.name for one in find_problems(measure(product.picture, source)))
    for kind, answers in found.items():
        wrong = [f"{right} as {main}" for right, main in answers if right != main]
        print(f"{kind:9} {1 - len(wrong) / len(answers):.3f}  wrong: {', '.join(wrong) or 'none'}")
    print(f"stripes that are flagged as a pattern: {flagged} of {len(found['stripes'])}")
    print(f"problems reported: {dict(problems) or 'none'}")
