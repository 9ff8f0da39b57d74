"""Fixed pictures and texts for comparing runtimes, transforms and models."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

PROBE_TEXTS: Final = (
    "a",
    "red running shoes",
    "Women's waterproof hiking jacket, size M, navy blue",
    "Stainless steel insulated water bottle 750 ml with bamboo lid, leak-proof, for hiking, cycling and the office",
    "USB-C to HDMI adapter 4K 60Hz",
    "how to fold a fitted sheet in 30 seconds | life hacks",
    "Édition limitée: théière en fonte émaillée",
    "100% cotton",
)
"""Titles of many lengths."""


def probe_pictures(count: int = 8, seed: int = 0) -> list[Image.Image]:
    """Generate synthetic RGB pictures of several shapes: blobs and edges at many scales, with a little noise.

    The same `count` and `seed` give the same pictures.
    """
    rng = np.random.default_rng(seed)
    shapes = [(480, 640), (640, 480), (300, 300), (90, 200), (720, 1280), (224, 224), (500, 333), (1000, 400)]
    pictures = []
    for index in range(count):
        height, width = shapes[index % len(shapes)]
        layers = np.zeros((height, width, 3), dtype=np.float32)
        for cells in (2, 5, 12, 40):
            coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            kernel = Image.Resampling.BICUBIC if rng.random() < 0.5 else Image.Resampling.NEAREST
            layers += np.asarray(coarse.resize((width, height), kernel), dtype=np.float32) / cells**0.5
        layers += rng.normal(0, 4, layers.shape)
        layers -= layers.min()
        pictures.append(Image.fromarray((layers * (255 / layers.max())).astype(np.uint8)))
    return pictures
