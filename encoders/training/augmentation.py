"""Augmentation: views of one drawing, unchanged, shifted, scaled, on other backgrounds, and in other colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from firstsight.encoders.training.drawn_examples import Drawing

# The eleven basic colour terms of English (Berlin and Kay, 1969), each with a middling sRGB value.
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "black": (35, 35, 38),
    "white": (245, 245, 245),
    "gray": (140, 142, 145),
    "red": (205, 35, 40),
    "orange": (240, 125, 25),
    "yellow": (245, 215, 45),
    "green": (60, 150, 65),
    "blue": (45, 90, 185),
    "purple": (120, 60, 150),
    "pink": (240, 135, 175),
    "brown": (125, 80, 45),
}
WHITE = (255, 255, 255)


def views(drawing: Drawing, generator: np.random.Generator) -> Iterator[tuple[Image.Image, tuple[str, ...], str]]:
    """Yield views of a drawing as RGB pictures, each with its true captions and its added colour (empty if none)."""
    if drawing.natural:
        yield _flatten(drawing.picture, WHITE), drawing.captions, ""
    yield _flatten(_moved(drawing.picture, generator), _background(generator)), drawing.captions, ""
    if not drawing.paintable:
        return
    colour = str(generator.choice(list(COLOURS)))
    coloured = _moved(_tinted(drawing.picture, colour, generator), generator)
    captions = tuple(f"{colour} {caption}" for caption in drawing.captions)
    yield _flatten(coloured, WHITE if generator.random() < 0.7 else _background(generator)), captions, colour


def _tinted(picture: Image.Image, colour: str, generator: np.random.Generator) -> Image.Image:
    """Repaint the picture in one colour and keep its shading."""
    pixels = np.asarray(picture, dtype=np.float32)
    light = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255
    seen = light[pixels[..., 3] > 128]
    low, high = np.percentile(seen, [2, 98]) if seen.size else (0.0, 1.0)
    light = np.clip((light - low) / max(high - low, 0.05), 0, 1)
    base = np.clip(np.array(COLOURS[colour]) + generator.normal(0, 14, 3), 0, 255)
    depth = 0.12 if colour == "white" else 0.45
    shaded = base * (1 - depth + depth * light[..., None]) + (255 - base) * 0.12 * light[..., None]
    return Image.fromarray(np.concatenate([shaded, pixels[..., 3:]], axis=-1).clip(0, 255).astype(np.uint8), "RGBA")


def _moved(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Mirror the picture at random, and crop up to a tenth or add a margin at each side."""
    if generator.random() < 0.5:
        picture = ImageOps.mirror(picture)
    width, height = picture.size
    left, right, top, bottom = generator.uniform(-0.15, 0.1, 4) * np.array([width, width, height, height])
    box = (round(left), round(top), max(round(width - right), 2), max(round(height - bottom), 2))
    return picture.crop(box)


def _background(generator: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in generator.integers(120, 256, 3))
    return red, green, blue


def _flatten(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    ground = Image.new("RGBA", picture.size, (*background, 255))
    ground.alpha_composite(picture)
    return ground.convert("RGB")
