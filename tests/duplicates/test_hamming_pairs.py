"""Pairs of near fingerprints: all are found, without comparing each with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.duplicates.hamming_pairs import near_pairs
from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints, distances


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
