"""PDQ fingerprints: the same for copies, apart for others, and pairs of them found without comparing all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from firstsight.duplicates.hamming_pairs import near_pairs
from firstsight.media.fingerprints import (
    MAX_DISTANCE,
    ORIENTATIONS,
    Fingerprints,
    Orientation,
    as_array,
    distances,
    fingerprint,
    oriented_fingerprints,
    turn,
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


@pytest.mark.parametrize("how", [how for how in ORIENTATIONS if how != "none"])
def test_turned_pictures_are_found_from_pixels_and_from_the_fingerprint_alone(how: Orientation) -> None:
    pictures = [opened(name) for name in NAMES]
    real = of(*(picture.transpose(TRANSPOSE[how]) for picture in pictures))
    variants = [oriented_fingerprints(picture) for picture in pictures]
    hashed = as_array([variant[how] for variant in variants if variant is not None])
    assert distances(hashed, real).max() <= MAX_DISTANCE
    from_bits = distances(turn(of(*pictures), how), real)
    assert np.median(from_bits) <= 20
    assert from_bits.max() <= MAX_DISTANCE + 16
    assert distances(turn(of(*pictures), "none"), of(*pictures)).max() == 0


def test_a_fingerprint_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="is 32 bytes, and this one 3: 000000"):
        as_array([b"\0" * 3])


def drawn(count: int, seed: int) -> Fingerprints:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def flipped(codes: Fingerprints, bits: int, seed: int) -> Fingerprints:
    rng = np.random.default_rng(seed)
    masks = np.zeros((len(codes), 256), dtype=np.uint8)
    for row in masks:
        row[rng.choice(256, bits, replace=False)] = 1
    return codes ^ np.packbits(masks, axis=1)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_every_pair_within_the_distance_is_found_and_no_other(seed: int, bits: int) -> None:
    codes = drawn(60, seed)
    codes = np.concatenate([codes, flipped(codes[:30], bits, seed), codes[:2]])
    pairs = near_pairs(codes)
    between = distances(codes[:, None], codes)
    left, right = np.nonzero(np.triu(between <= MAX_DISTANCE, 1))
    assert list(zip(pairs.left, pairs.right, strict=True)) == list(zip(left, right, strict=True))
    assert (pairs.distance == between[left, right]).all()


def test_one_bit_in_every_band_and_two_in_the_last_but_one_is_the_far_end_of_the_guarantee() -> None:
    """31 differing bits, two in fifteen bands and one in the last: the worst case that is still found."""
    mask = np.zeros(256, dtype=np.uint8)
    for band in range(16):
        mask[band * 16 : band * 16 + (1 if band == 15 else 2)] = 1
    code = drawn(1, 0)
    pairs = near_pairs(code, code ^ np.packbits(mask))
    assert pairs.distance.tolist() == [31]
    with pytest.raises(ValueError, match="between 0 and 31, not 32"):
        near_pairs(code, max_distance=32)


def test_a_list_of_known_hashes_is_searched() -> None:
    stored, known = drawn(500, 1), drawn(40, 2)
    known[7] = flipped(stored[123:124], 31, 3)[0]
    known[8] = flipped(stored[124:125], 32, 4)[0]
    pairs = near_pairs(stored, known)
    assert (pairs.left.tolist(), pairs.right.tolist(), pairs.distance.tolist()) == ([123], [7], [31])
    assert len(near_pairs(stored, known[:0])) == len(near_pairs(stored[:0])) == 0
