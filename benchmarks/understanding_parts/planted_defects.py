"""Defects for pictures, and clean pictures made by a program."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Plant = Callable[[Image.Image], Image.Image | None]
"""Plants a defect; None if it would not be visible in this picture."""

COLOURS: Final = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (190, 30, 40), "grey": (200, 200, 200)}
_INVISIBLE: Final = 12  # levels of 255


def as_jpeg(picture: Image.Image, quality: int = 90) -> Image.Image:
    """Compress a picture as shops do."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def blur(radius: float, picture: Image.Image) -> Image.Image:
    """Blur by a Gaussian of this standard deviation in pixels."""
    return as_jpeg(picture.filter(ImageFilter.GaussianBlur(radius)))


def upscale(factor: float, filter_: Image.Resampling, picture: Image.Image) -> Image.Image:
    """Reduce a picture by a factor, and enlarge it to its size again."""
    small = (max(1, round(picture.width / factor)), max(1, round(picture.height / factor)))
    return as_jpeg(picture.resize(small, Image.Resampling.LANCZOS).resize(picture.size, filter_))


def enlarge(factor: int, picture: Image.Image) -> Image.Image:
    """Enlarge a picture."""
    return as_jpeg(picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC))


def darken(share: float, picture: Image.Image) -> Image.Image:
    """Multiply all levels."""
    return as_jpeg(picture.point(lambda level: level * share))


def bars(kind: str, colour: tuple[int, int, int], picture: Image.Image) -> Image.Image | None:
    """Put a letterbox, pillarbox or frame of a tenth of the picture's size around it."""
    width, height = picture.size
    across = 0 if kind == "letterbox" else width // 10
    down = 0 if kind == "pillarbox" else height // 10
    pixels = np.asarray(picture, np.int16)
    edges = [pixels[[0, -1]].reshape(-1, 3)] * bool(down) + [pixels[:, [0, -1]].reshape(-1, 3)] * bool(across)
    beside = np.abs(np.concatenate(edges) - np.array(colour)).max(axis=1) <= _INVISIBLE
    if beside.mean() > 0.2:  # the picture's own background has the colour of the bars
        return None
    framed = Image.new("RGB", picture.size, colour)
    framed.paste(picture.resize((width - 2 * across, height - 2 * down), Image.Resampling.LANCZOS), (across, down))
    return as_jpeg(framed)


def near_empty(picture: Image.Image) -> Image.Image:
    """A white picture with the product as a speck."""
    empty = Image.new("RGB", picture.size, "white")
    speck = picture.resize((max(1, picture.width // 14), max(1, picture.height // 14)), Image.Resampling.LANCZOS)
    empty.paste(speck, (picture.width // 2, picture.height // 2))
    return as_jpeg(empty)


def low_resolution(picture: Image.Image) -> Image.Image:
    """A small picture of 240 pixels."""
    small = picture.copy()
    small.thumbnail((240, 240), Image.Resampling.LANCZOS)
    return as_jpeg(small)


DEFECTS: Final[Mapping[str, tuple[tuple[str, ...], Plant]]] = {
    "blur 1 px": (("blurred", "upscaled"), partial(blur, 1)),
    "blur 2 px": (("blurred", "upscaled"), partial(blur, 2)),
    "upscaled x2, bicubic": (("upscaled", "blurred"), partial(upscale, 2, Image.Resampling.BICUBIC)),
    "upscaled x2, bilinear": (("upscaled", "blurred"), partial(upscale, 2, Image.Resampling.BILINEAR)),
    "upscaled x2.7, bicubic": (("upscaled", "blurred"), partial(upscale, 2.7, Image.Resampling.BICUBIC)),
    "upscaled x4, bicubic": (("upscaled", "blurred"), partial(upscale, 4, Image.Resampling.BICUBIC)),
    "enlarged x2 from full size": (("upscaled", "blurred"), partial(enlarge, 2)),
    "darkened to .5": (("dark",), partial(darken, 0.5)),
    "darkened to .3": (("dark",), partial(darken, 0.3)),
    **{
        f"{kind}, {name}": (("bars",), partial(bars, kind, colour))
        for kind in ("letterbox", "pillarbox", "frame")
        for name, colour in COLOURS.items()
    },
    "near empty": (("near_empty",), near_empty),
    "240 pixels": (("low_resolution",), low_resolution),
    "JPEG quality 10": (("compressed",), partial(as_jpeg, quality=10)),
    "JPEG quality 20": (("compressed",), partial(as_jpeg, quality=20)),
}
"""Defect -> the problems that report it, the right name first, and the function that plants it."""


def clean_pictures(count: int) -> Iterator[Image.Image]:
    """Draw dark and light products on white and grey, knitted and smooth, reduced from twice their size."""
    for n in range(count):
        yield _drawn(np.random.default_rng(n), n)


def _drawn(chance: np.random.Generator, n: int) -> Image.Image:
    side = 1400
    top, bottom = (255, 255) if n % 2 else sorted(chance.integers(150, 235, 2).tolist())
    ramp = np.linspace(top, bottom, side)[:, None, None].repeat(side, 1).repeat(3, 2)
    shade = np.array([20, 20, 25] if n % 4 == 1 else chance.integers(30, 230, 3))
    light = 1 + 0.35 * np.sin(np.linspace(0, 3, side))[None, :, None]
    product = np.broadcast_to(shade * light, (side, side, 3)).copy()
    if n % 3 == 0:  # knitted
        y, x = np.mgrid[:side, :side] / 20
        product *= 1 + 0.2 * (np.sin(x * 2) * np.sin(y * 2 + np.sin(x)))[..., None]
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    low, high = chance.integers(130, 400, 2), chance.integers(1000, 1270, 2)
    (draw.ellipse if n % 5 == 0 else partial(draw.rounded_rectangle, radius=160))(
        (*low.tolist(), *high.tolist()), fill=255
    )
    inside = np.asarray(mask)[..., None] / 255
    pixels = np.clip(ramp * (1 - inside) + product * inside, 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.7))
    return as_jpeg(picture.resize((700, 700), Image.Resampling.LANCZOS), 92)
