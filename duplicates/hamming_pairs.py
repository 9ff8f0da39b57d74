"""Search for pairs of binary codes that differ in few bits, without comparing all pairs.

Multi-index hashing: 256 bits are split into 16 bands of 16 bits. Two codes that differ in 31 bits or fewer differ in at
most one bit of some band; otherwise they would differ in 2 x 16 = 32 bits. So every pair up to a distance of 31 is
found by a search in each band for the same value and for the 16 values one bit away. Of random pairs of codes, one in
241 is compared.

Source: Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012. `faiss` has such
an index too (IndexBinaryMultiHash), but it can only search, not join, and it would be a dependency of 30 MB.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints

BANDS = 16
GUARANTEED_DISTANCE = 2 * BANDS - 1
"""Largest distance in bits at which every pair is found."""

_VALUES = 1 << 16
_PAIRS_PER_CHUNK = 1 << 21  # pairs compared at once; limits memory to about 200 MB
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], dtype=np.uint16)


@dataclass(frozen=True)
class CodePairs:
    """Pairs of codes, as row numbers, with their distances."""

    left: NDArray[np.int64]  # (p,)
    right: NDArray[np.int64]  # (p,)
    distance: NDArray[np.int64]  # (p,) bits, 0 to 256

    def __len__(self) -> int:
        return len(self.left)


def near_pairs(
    codes: Fingerprints, others: Fingerprints | None = None, *, max_distance: int = MAX_DISTANCE
) -> CodePairs:
    """Find every pair of codes that differ in at most `max_distance` bits.

    Args:
        codes: (n, 32) uint8.
        others: (m, 32) uint8, such as a list of known hashes: find pairs of a row of `codes` and a row of `others`.
            None: find pairs within `codes`, each once with left < right.
        max_distance: bits, 0 to 31.

    Returns:
        Pairs ordered by left, then right. They include all pairs of equal codes, so drop repeated codes first if
        there may be many.

    Raises:
        ValueError: `max_distance` is not 0 to 31.
    """
    if not 0 <= max_distance <= GUARANTEED_DISTANCE:
        raise ValueError(f"max_distance must be between 0 and {GUARANTEED_DISTANCE}, not {max_distance}")
    return banded_pairs(codes, others, max_distance=max_distance)


def banded_pairs(
    codes: Fingerprints,
    others: Fingerprints | None = None,
    *,
    keys: tuple[Fingerprints, Fingerprints | None] | None = None,
    max_distance: int,
    bands: int = BANDS,
) -> CodePairs:
    """Find pairs of codes within a distance, among pairs with equal bands or bands one bit apart.

    Args:
        codes, others: as for `near_pairs`.
        keys: codes for the same rows that are used to compare bands; None for the codes themselves.
        max_distance: bits of `codes`, 0 to 256. Above 31 not every pair is found.
        bands: number of bands to search, 1 to 16.

    Returns:
        Pairs ordered by left, then right, each once.
    """
    width = max(len(codes if others is None else others), 1)
    pair_keys = [np.zeros(0, dtype=np.int64)]  # left * width + right, to remove pairs found in several bands
    bits = [np.zeros(0, dtype=np.int64)]
    for found in banded_batches(codes, others, keys=keys, max_distance=max_distance, bands=bands):
        pair_keys.append(found.left * width + found.right)
        bits.append(found.distance)
    pair, first = np.unique(np.concatenate(pair_keys), return_index=True)
    return CodePairs(pair // width, pair % width, np.concatenate(bits)[first])


def banded_batches(
    codes: Fingerprints,
    others: Fingerprints | None = None,
    *,
    keys: tuple[Fingerprints, Fingerprints | None] | None = None,
    max_distance: int,
    bands: int = BANDS,
    flip: bool = True,
) -> Iterator[CodePairs]:
    """Yield the pairs of `banded_pairs` in batches of bounded memory. A pair may be in several batches.

    In each batch, `left` ascends, and `right` within it.

    Args:
        codes, others, keys, max_distance, bands: as for `banded_pairs`.
        flip: also search for bands one bit apart. Without, a seventeenth as many pairs are compared.
    """
    within = others is None
    searched = codes if others is None else others
    left_keys, right_keys = keys or (codes, others)
    left_bands = _bands(left_keys)[:bands]
    right_bands = left_bands if right_keys is None else _bands(right_keys)[:bands]
    left_words, right_words = (np.ascontiguousarray(c).view(np.uint64) for c in (codes, searched))
    for left_band, right_band in zip(left_bands, right_bands, strict=True):
        for left, right in _same_band(left_band, right_band, _FLIPS if flip else _FLIPS[:1]):
            if within:
                ordered = left < right
                left, right = left[ordered], right[ordered]
            distance = np.bitwise_count(left_words[left] ^ right_words[right]).sum(axis=1, dtype=np.int64)
            near = distance <= max_distance
            yield CodePairs(left[near], right[near], distance[near])


def _bands(codes: Fingerprints) -> NDArray[np.uint16]:
    """(16, n): the values of each band."""
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint16).T)


def _same_band(
    keys: NDArray[np.uint16], searched: NDArray[np.uint16], flips: NDArray[np.uint16]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield batches of row pairs whose values in a band are equal after one of the flips, bits to be inverted."""
    order = np.argsort(searched, kind="stable")
    sizes = np.bincount(searched, minlength=_VALUES)
    starts = np.cumsum(sizes) - sizes
    rows = np.arange(len(keys))
    for flip in flips:
        probed = keys ^ flip
        counts = sizes[probed]
        cut = np.searchsorted(np.cumsum(counts), np.arange(0, counts.sum(), _PAIRS_PER_CHUNK), side="left")
        for begin, end in itertools.pairwise([*cut, len(keys)]):
            batch = counts[begin:end]
            total = int(batch.sum())
            left = np.repeat(rows[begin:end], batch)
            place = np.arange(total) - np.repeat(np.cumsum(batch) - batch, batch)
            yield left, order[np.repeat(starts[probed[begin:end]], batch) + place]
