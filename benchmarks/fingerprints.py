"""Compare PDQ fingerprints of firstsight and `pdqhash` on the same pixels: time, and equality of all bits.

    python -m benchmarks.fingerprints

It needs `pdqhash` (`pip install 'firstsight[pdqhash]'`, with a C++ compiler).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pdqhash
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media import pdq
from firstsight.media.pictures import open_picture

SAMPLES = Path(__file__).parents[1] / "sample_media" / "pictures"


def theirs(picture: Image.Image) -> bytes:
    """The fingerprint by `pdqhash`, which takes RGB."""
    bits, _ = pdqhash.compute(np.asarray(picture.convert("RGB")))
    return np.packbits(bits.astype(bool)).tobytes()


def ours(picture: Image.Image) -> bytes:
    """The fingerprint by `firstsight.media.pdq`, with the quality, which `pdqhash` computes too."""
    pixels = np.asarray(picture)
    pdq.quality(pixels)
    return pdq.bits(pdq.coefficients(pixels))


def seconds(function: Callable[[Image.Image], bytes], pictures: Sequence[Image.Image]) -> float:
    """Seconds for one pass over the pictures."""
    start = time.perf_counter()
    for picture in pictures:
        function(picture)
    return time.perf_counter() - start


def main() -> None:
    """Run both in turn and print the median of each and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41, help="passes over the pictures by each; default 41")
    rounds = parser.parse_args().rounds
    pictures = []
    for path in sorted(SAMPLES.iterdir()):
        with suppress(MediaError):  # one sample picture is broken on purpose
            pictures.append(open_picture(path).convert("L").resize((pdq.SIDE, pdq.SIDE), Image.Resampling.BILINEAR))
    equal = sum(ours(picture) == theirs(picture) for picture in pictures)
    times = np.array([[seconds(theirs, pictures), seconds(ours, pictures)] for _ in range(rounds)])
    them, us = np.median(times, axis=0) / len(pictures) * 1e6
    ratio = np.median(times[:, 1] / times[:, 0])
    print(f"{equal} of {len(pictures)} fingerprints equal; pdqhash {them:.0f} µs, firstsight {us:.0f} µs: {ratio:.2f}")


if __name__ == "__main__":
    main()
