"""The PDQ hash in NumPy equals in every bit that of Meta's code, which the package `pdqhash` wraps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from firstsight.errors import MediaError
from firstsight.media import pdq
from firstsight.media.fingerprints import ORIENTATIONS, fingerprint, oriented_fingerprints
from firstsight.media.pictures import open_picture

SAMPLES = Path(__file__).parents[2] / "sample_media" / "pictures"
y, x = np.mgrid[:64, :64]

DRAWN: dict[str, tuple[NDArray[np.int64], int, str]] = {
    "waves": (
        (x * x * 7 + y * y * 5 + 3 * x * y) % 251,
        100,
        "d94cfcdab81e3715da663b11f0bacc55d918a5258ee60589f3951c06da155baa",
    ),
    "squares": (
        (x // 16 + y // 16) % 2 * 255,
        100,
        "0000072fa5052d8f2d2d50780f0d70580000252d270d058f000050d08f0fd25a",
    ),
    "slope": (
        np.clip(40 + 4 * x - y, 0, 255),
        42,
        "02f57a050afd7a0502f5fa8502fd5a050afdfa8502f57a052affaa05ffd50555",
    ),
    "disc": (
        np.where((x - 20) ** 2 + (y - 36) ** 2 < 300, 220, 30 + x),
        100,
        "3f8e1381fc4e037140703f8113b1cc0ed80d027eff91ffb1000f4009bffebbfe",
    ),
    "line": (
        np.where(y == 17, 255, 0),
        100,
        "75330cc928cc636125d7e140d21b312e01166cb0705897c2020cc34d207370a9",
    ),
    "mirrored": (
        (np.minimum(x, 63 - x) * 37 + y * 11) % 256,
        100,
        "265788903f02f994aab98d990160f9dc3177ffdc726611048888155488981550",
    ),
}
"""Pixels with their quality and hash by pdqhash 0.2.8. In symmetric pictures half of the coefficients are zero except
for rounding, so every bit depends on the order of the sums."""


@pytest.mark.parametrize("name", DRAWN)
def test_hash_and_quality_are_those_that_pdqhash_gave(name: str) -> None:
    drawn, quality, code = DRAWN[name]
    pixels = drawn.astype(np.uint8)
    assert pdq.quality(pixels) == quality
    assert pdq.bits(pdq.coefficients(pixels)).hex() == code
    picture = Image.fromarray(pixels).convert("RGB")
    assert fingerprint(picture) == (bytes.fromhex(code) if quality >= 50 else None)


def grey_pixels() -> Iterator[pdq.Pixels]:
    """Noise, symmetries, slopes, squares, lines, shapes, flat pictures, and the sample pictures."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        noise = rng.integers(0, 256, (64, 64), dtype=np.uint8)
        half, block = noise[:, :32], noise[:8, :8]
        yield noise
        yield noise // rng.integers(2, 32, dtype=np.uint8) + np.uint8(100)
        yield np.hstack([half, half[:, ::-1]])
        yield np.triu(noise) + np.triu(noise, 1).T
        yield np.tile(block, (8, 8))
        yield np.kron(block, np.ones((8, 8), np.uint8))
        shapes = Image.new("L", (64, 64), int(rng.integers(256)))
        for _ in range(6):
            left, top, width, height = (int(v) for v in rng.integers(1, 40, 4))
            ImageDraw.Draw(shapes).ellipse((left, top, left + width, top + height), fill=int(rng.integers(256)))
        yield np.asarray(shapes)
        yield np.asarray(shapes.filter(ImageFilter.GaussianBlur(4)))
    for n in range(1, 33):
        yield ((x // n + y // n) % 2 * 255).astype(np.uint8)
        yield np.clip(128 + (n % 6 - 3) * (x - 32) + (n // 6 - 3) * (y - 32), 0, 255).astype(np.uint8)
        yield np.where(x == 2 * n - 1, 255, 0).astype(np.uint8)
        yield np.where((x < n) & (y > n), 90, 200).astype(np.uint8)
        yield np.full((64, 64), 8 * n - 1, np.uint8)
    for path in sorted(SAMPLES.iterdir()):
        with suppress(MediaError):  # one sample picture is broken on purpose
            yield np.asarray(open_picture(path).convert("L").resize((64, 64), Image.Resampling.BILINEAR))


def test_every_bit_of_every_turn_equals_pdqhash() -> None:
    pdqhash = pytest.importorskip("pdqhash")  # source package only: installed if there is a compiler
    pictures = list(grey_pixels())
    assert len(pictures) > 400
    for pixels in pictures:
        colours = np.repeat(pixels[:, :, None], 3, axis=2)
        code, quality = pdqhash.compute(colours)
        assert pdq.quality(pixels) == quality
        assert pdq.bits(pdq.coefficients(pixels)) == np.packbits(code.astype(bool)).tobytes()
        turned = oriented_fingerprints(Image.fromarray(colours))
        if quality < 50:
            assert turned is None
            continue
        codes, _ = pdqhash.compute_dihedral(colours)
        expected = {
            how: np.packbits(bits.astype(bool)).tobytes() for how, bits in zip(ORIENTATIONS, codes, strict=True)
        }
        assert turned == expected
