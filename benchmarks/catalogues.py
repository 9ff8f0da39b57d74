"""Catalogues for benchmarks: any number of items, each with its own picture, made from the sample pictures."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from PIL import Image

SAMPLE_PICTURES = Path(__file__).parent.parent / "sample_media" / "pictures"
BROKEN = "broken-teapot.jpg"


def make_catalogue(folder: Path, items: int, side: int, seed: int = 0) -> Path:
    """Write `items` square JPEGs, cropped and mirrored from the sample pictures, and their catalogue.csv.

    Args:
        side: side of the pictures, in pixels.
        seed: random seed of crops, mirroring and prices.

    Returns:
        Path of the catalogue.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    originals = [
        (path.stem, Image.open(path).convert("RGB"))
        for path in sorted(SAMPLE_PICTURES.iterdir())
        if path.name != BROKEN
    ]
    with (folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "images", "price"])
        for number in range(items):
            name, picture = originals[number % len(originals)]
            left, top = rng.uniform(0, 0.2), rng.uniform(0, 0.2)
            width, height = picture.size
            box = (left * width, top * height, (left + 0.8) * width, (top + 0.8) * height)
            variant = picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
            if rng.random() < 0.5:
                variant = variant.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            variant.save(folder / f"{number}.jpg", quality=88)
            title = f"{name.replace('-', ' ')} number {number}, as in the sample catalogue"
            writer.writerow([f"item-{number}", title, f"{number}.jpg", round(rng.uniform(5, 500), 2)])
    return folder / "catalogue.csv"
