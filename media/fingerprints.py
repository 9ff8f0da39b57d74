"""PDQ fingerprints of pictures: 256 bits that stay nearly the same when a picture is resized or encoded again.

A fingerprint is 32 bytes, the signs of 16 x 16 DCT coefficients row by row, first bit highest: its hexadecimal form
is that of ThreatExchange's own tools. Copies differ in few bits, unrelated pictures in about 128.

Source: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019; `pdq` computes the hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.media import pdq

FINGERPRINT_BYTES = 32

MAX_DISTANCE = 31
"""Bits that fingerprints of one picture may differ in: the distance that PDQ's makers advise."""

MIN_QUALITY = 50
"""PDQ's own measure of how much there is in a picture, 0 to 100, below which its fingerprint says nothing."""

SIDE = pdq.SIDE
"""Sides of what is hashed. PDQ averages every picture to 64 x 64 by a filter of its own that depends on the size.
Done by an antialiased resize instead it takes a tenth of the time, copies of other sizes stay nearer (1.6 bits instead
of 8), and the result is 5 bits of 256 from PDQ's own of the whole picture (measured on photos of 800 pixels).
"""

Fingerprints = NDArray[np.uint8]
"""(n, 32): one fingerprint a row."""

Orientation = Literal["none", "rotate90", "rotate180", "rotate270", "flip", "mirror", "transpose", "transverse"]
"""How a picture was turned: rotations are counter-clockwise, `flip` is upside down, `mirror` left to right;
`transpose` and `transverse` as Pillow has them."""

ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)


def fingerprint(picture: Image.Image) -> bytes | None:
    """A picture's PDQ fingerprint, 32 bytes; None for a flat one (quality below 50), such as a black frame.

    Args:
        picture: upright RGB, of any size.
    """
    pixels = _pixels(picture)
    return pdq.bits(pdq.coefficients(pixels)) if pdq.quality(pixels) >= MIN_QUALITY else None


def oriented_fingerprints(picture: Image.Image) -> dict[Orientation, bytes] | None:
    """The fingerprints of a picture's eight turns, from one pass over its pixels; None for a flat picture."""
    pixels = _pixels(picture)
    if pdq.quality(pixels) < MIN_QUALITY:
        return None
    values = pdq.coefficients(pixels)
    return {name: pdq.bits(_oriented(values, name)) for name in ORIENTATIONS}


def _oriented(values: pdq.Coefficients, orientation: Orientation) -> pdq.Coefficients:
    """The coefficients of the turned picture: those of odd frequencies change their sign."""
    transposed, odd_rows, odd_columns = _SIGNS[orientation]
    signs = np.resize(np.array([-1, 1], np.float32), len(values))  # of frequencies 1, 2, 3, …
    values = values.T if transposed else values
    values = values * signs[:, None] if odd_rows else values
    return values * signs if odd_columns else values


def as_array(fingerprints: Sequence[bytes]) -> Fingerprints:
    """Fingerprints of 32 bytes each as an array.

    Raises:
        ValueError: one of them has another length.
    """
    for one in fingerprints:
        if len(one) != FINGERPRINT_BYTES:
            raise ValueError(
                f"a PDQ fingerprint is {FINGERPRINT_BYTES} bytes, and this one {len(one)}: {one.hex()[:80]}"
            )
    return np.frombuffer(b"".join(fingerprints), dtype=np.uint8).reshape(-1, FINGERPRINT_BYTES)


def orient(fingerprints: Fingerprints, orientation: Orientation) -> Fingerprints:
    """About the fingerprints that the turned pictures would have, from the fingerprints alone.

    A turn of a picture permutes its DCT coefficients and flips the signs of some. PDQ compares them with their median,
    which is near zero but not zero, and its blocks of pixels are not cut alike from both sides: of Luma's pictures, 13
    bits of 256 are wrong on average, 11 to 20 with PDQ's own `oriented_fingerprints`.
    """
    bits = np.unpackbits(fingerprints, axis=1).reshape(-1, 16, 16)
    transposed, odd_rows, odd_columns = _SIGNS[orientation]
    if transposed:
        bits = bits.transpose(0, 2, 1)
    odd = np.arange(16, dtype=np.uint8) % 2
    # the bits run from frequency 16 down to 1: every second one stands for an odd frequency, whose sign a turn flips
    signs = (odd[:, None] * np.uint8(odd_rows)) ^ (odd[None, :] * np.uint8(odd_columns))
    return np.packbits((bits ^ signs).reshape(-1, 256), axis=1)


_SIGNS: dict[Orientation, tuple[bool, bool, bool]] = {
    "none": (False, False, False),
    "rotate180": (False, True, True),
    "flip": (False, True, False),
    "mirror": (False, False, True),
    "rotate90": (True, True, False),
    "rotate270": (True, False, True),
    "transpose": (True, False, False),
    "transverse": (True, True, True),
}
"""Whether the coefficients are transposed, and the signs of every second row or column flipped."""


def distances(left: Fingerprints, right: Fingerprints) -> NDArray[np.int64]:
    """Bits in which fingerprints differ, 0 to 256, row by row: (n,) for two arrays of n rows, or (n, m) by broadcasting
    (n, 1, 32) with (m, 32)."""
    return np.asarray(np.bitwise_count(_as_uint64(left) ^ _as_uint64(right)).sum(axis=-1, dtype=np.int64))


def _as_uint64(fingerprints: Fingerprints) -> NDArray[np.uint64]:
    return np.ascontiguousarray(fingerprints).view(np.uint64)


def _pixels(picture: Image.Image) -> pdq.Pixels:
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.uint8)
