"""Codes of items, and the copy numbers that separate items with equal codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
"""(n, levels) index of the centroid of each level; -1 in a row for an item without a vector."""


def count_copies(codes: Codes, before: Codes | None = None) -> NDArray[np.int32]:
    """Number the items with equal codes in the order of arrival: each gets the number of equal codes before it.

    Args:
        codes: (n, levels).
        before: (m, levels) codes of earlier items.
    Returns:
        (n,) int32, 0 for the first item with its codes.
    """
    all_codes = codes if before is None else np.concatenate([before, codes])
    if not len(all_codes):
        return np.zeros(0, dtype=np.int32)
    _, group, sizes = np.unique(all_codes, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    copies = np.empty(len(all_codes), dtype=np.int32)
    copies[order] = np.arange(len(all_codes)) - starts
    return copies[len(all_codes) - len(codes) :]


def uniqueness(codes: Codes) -> float:
    """Share of items whose codes no other item has, without copy numbers: 0 to 1."""
    known = codes[codes[:, 0] >= 0]
    if not len(known):
        return 0.0
    _, counts = np.unique(known, axis=0, return_counts=True)
    return float((counts == 1).sum() / len(known))


def format_semantic_id(codes: NDArray[np.int32], copy: int) -> str:
    """Write codes and copy number as text, such as "12-200-7-0"."""
    return "-".join(map(str, [*codes.tolist(), int(copy)]))
