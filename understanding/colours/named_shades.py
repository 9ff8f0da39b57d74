"""The twelve named colours, and the share that a colour has in each."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.understanding.colours.cielab import Lab, from_hex

COLOURS: Final = (
    "black",
    "white",
    "gray",
    "brown",
    "beige",
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
)

SOFTNESS: Final = 6.0
"""Distance in CIELAB (dE 1976) behind the nearest shade at which a colour's share falls to 1 / e."""


def name_shares(lab: Lab) -> NDArray[np.float32]:
    """Share of each named colour in each of these colours, (n, 12); rows add up to 1.

    A colour between two names has a share in both: its distance to the nearest shade of each name decides.

    Args:
        lab: (n, 3).
    """
    shades, owners = _shades()
    difference = lab[:, None, :] - shades[None, :, :]
    distances = np.sqrt(np.einsum("nsi,nsi->ns", difference, difference))
    nearness = np.exp(-(distances - distances.min(axis=1, keepdims=True)) / SOFTNESS)
    best = np.stack([np.where(owners == n, nearness, 0).max(axis=1) for n in range(len(COLOURS))], axis=1)
    return np.asarray(best / best.sum(axis=1, keepdims=True), dtype=np.float32)


@cache
def _shades() -> tuple[Lab, NDArray[np.int64]]:
    with (Path(__file__).parent / "shades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return np.stack([from_hex(row["hex"]) for row in rows]), np.array([COLOURS.index(row["colour"]) for row in rows])
