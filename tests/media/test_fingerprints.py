"""PDQ fingerprints: near each other for copies of a picture, far apart for other pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firstsight.media.fingerprints import (
    MAX_DISTANCE,
    ORIENTATIONS,
    Fingerprints,
    Orientation,
    as_array,
    distances,
    fingerprint,
    orient,
    oriented_fingerprints,
)

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
NAMES = ("guitar-acoustic.jpg", "sneakers-red.jpg", "poster-rocket.jpg", "umbrella.png", "fruit-basket.jpg")
TRANSPOSE: dict[Orientation, Image.Transpose] = {
    "rotate90": Image.Transpose.ROTATE_90,
    "rotate180": Image.Transpose.ROTATE_180,
    "rotate270": Image.Transpose.ROTATE_270,
    "flip": Image.Transpose.FLIP_TOP_BOTTOM,
    "mirror": Image.Transpose.FLIP_LEFT_RIGHT,
    "transpose": Image.Transpose.TRANSPOSE,
    "transverse": Image.Transpose.TRANSVERSE,
}


def opened(name: str) -> Image.Image:
    with Image.open(PICTURES / name) as file:
        white = Image.new("RGBA", file.size, "white")
        return Image.alpha_composite(white, file.convert("RGBA")).convert("RGB")


def of(*pictures: Image.Image) -> Fingerprints:
    found = [fingerprint(picture) for picture in pictures]
    assert None not in found
    return as_array([one for one in found if one is not None])


def test_a_copy_is_near_and_another_picture_is_far() -> None:
    pictures = [opened(name) for name in NAMES]
    buffers = [io.BytesIO() for _ in pictures]
    for picture, buffer in zip(pictures, buffers, strict=True):
        picture.resize((picture.width // 2, picture.height // 2)).save(buffer, "JPEG", quality=40)
    copies = [Image.open(buffer).convert("RGB") for buffer in buffers]
    between = distances(of(*pictures)[:, None], of(*copies))
    assert between.diagonal().max() <= MAX_DISTANCE
    assert between[~np.eye(len(NAMES), dtype=bool)].min() > 2 * MAX_DISTANCE


def test_a_fingerprint_is_the_same_whatever_the_size_it_was_shrunk_from() -> None:
    picture = opened("guitar-acoustic.jpg").resize((512, 384))
    large = picture.resize((2048, 1536), Image.Resampling.NEAREST)
    assert fingerprint(large) == fingerprint(picture)


@pytest.mark.parametrize("colour", ["black", "white", "grey"])
def test_a_flat_picture_has_no_fingerprint(colour: str) -> None:
    flat = Image.new("RGB", (320, 240), colour)
    assert fingerprint(flat) is None
    assert oriented_fingerprints(flat) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (8, 8)])
def test_tiny_and_thin_pictures_are_hashed_or_flat(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    found = fingerprint(Image.fromarray(noise))
    assert found is None or len(found) == 32


@pytest.mark.parametrize("orientation", [orientation for orientation in ORIENTATIONS if orientation != "none"])
def test_turned_pictures_are_found_from_pixels_and_from_the_fingerprint_alone(orientation: Orientation) -> None:
    pictures = [opened(name) for name in NAMES]
    real = of(*(picture.transpose(TRANSPOSE[orientation]) for picture in pictures))
    variants = [oriented_fingerprints(picture) for picture in pictures]
    hashed = as_array([variant[orientation] for variant in variants if variant is not None])
    assert distances(hashed, real).max() <= MAX_DISTANCE
    from_bits = distances(orient(of(*pictures), orientation), real)
    assert np.median(from_bits) <= 20
    assert from_bits.max() <= MAX_DISTANCE + 16
    assert distances(orient(of(*pictures), "none"), of(*pictures)).max() == 0


def test_a_fingerprint_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has 32 bytes; this one has 3: 000000"):
        as_array([b"\0" * 3])
