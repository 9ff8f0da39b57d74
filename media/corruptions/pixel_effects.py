"""Corruptions that change pixels where they are: blur, noise, JPEG, brightness and contrast.

Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019. Their values are for 224 x 224 pixels: lengths are shares of the shorter side here.
"""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_SIDE: Final = 224  # pixels of the pictures that the source's values are for
_BLUR_PX: Final = (1, 2, 3, 4, 6)  # standard deviation
_MOTION_PX: Final = (6, 10, 15, 22, 32)  # length of the path; the source's own code calls ImageMagick
_MOTION_STEPS: Final = 32
_NOISE: Final = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, of a range of 1
_PHOTONS: Final = (60, 25, 12, 5, 3)  # of a white pixel
_JPEG_QUALITY: Final = (25, 18, 15, 10, 7)
_BRIGHTER: Final = (0.1, 0.2, 0.3, 0.4, 0.5)  # of a range of 1
_DARKER: Final = (0.2, 0.35, 0.5, 0.65, 0.8)  # share of the light that is lost; the source has no such corruption
_CONTRAST: Final = (0.4, 0.3, 0.2, 0.1, 0.05)  # share of the contrast that is left

Pixels = NDArray[np.float32]
"""(height, width, 3), 0 to 1."""


def gaussian_blur(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Blur as a lens out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(_length(picture, _BLUR_PX[strength - 1])))


def motion_blur(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Blur along a straight line of a random direction, as a camera that moves."""
    angle = float(rng.uniform(0, math.pi))
    length = _length(picture, _MOTION_PX[strength - 1])
    steps = np.linspace(-length / 2, length / 2, min(_MOTION_STEPS, max(2, math.ceil(length) + 1)))
    shifts = sorted({(round(float(s) * math.sin(angle)), round(float(s) * math.cos(angle))) for s in steps})
    reach = max(max(abs(down), abs(right)) for down, right in shifts)
    padded = np.pad(as_array(picture), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = picture.height, picture.width
    total = np.zeros((height, width, 3), np.float32)
    for down, right in shifts:
        total += padded[reach + down : reach + down + height, reach + right : reach + right + width]
    return as_picture(total / len(shifts))


def gaussian_noise(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Add normal noise, as of a sensor in low light."""
    pixels = as_array(picture)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return as_picture(pixels + noise * np.float32(_NOISE[strength - 1]))


def shot_noise(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Count few photons for each pixel: a Poisson draw with its brightness as the mean."""
    photons = _PHOTONS[strength - 1]
    return as_picture(rng.poisson(as_array(picture) * photons).astype(np.float32) / photons)


def jpeg(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Write the picture as a JPEG of low quality, and read it again."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY[strength - 1])
    buffer.seek(0)
    with Image.open(buffer, formats=["JPEG"]) as opened:  # our own bytes
        return opened.convert("RGB")


def brighter(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Add light until bright parts are white: the value of the HSV colour grows."""
    pixels = as_array(picture)
    value = pixels.max(axis=2, keepdims=True)
    raised = np.minimum(value + np.float32(_BRIGHTER[strength - 1]), 1.0)
    # a black pixel has no hue: it becomes grey
    scaled = np.where(value > 0, pixels * (raised / np.maximum(value, 1e-6)), raised)
    return as_picture(scaled)


def darker(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Remove light from all pixels."""
    return as_picture(as_array(picture) * np.float32(1 - _DARKER[strength - 1]))


def contrast(picture: Image.Image, strength: int, rng: np.random.Generator) -> Image.Image:
    """Move all pixels towards the mean colour."""
    pixels = as_array(picture)
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    return as_picture((pixels - mean) * np.float32(_CONTRAST[strength - 1]) + mean)


def as_array(picture: Image.Image) -> Pixels:
    """Return the pixels of an RGB picture, 0 to 1."""
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def as_picture(pixels: NDArray[np.floating[Any]]) -> Image.Image:
    """Return pixels as an RGB picture; values outside 0 to 1 are clipped."""
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _length(picture: Image.Image, pixels: float) -> float:
    """Convert a length for 224 pixels to one for the shorter side of this picture."""
    return pixels / _SIDE * min(picture.size)
