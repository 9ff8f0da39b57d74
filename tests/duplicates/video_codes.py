"""Codes of videos that move, for tests of their comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firstsight.media.fingerprints import Fingerprints
from firstsight.media.video_prints import VideoPrints
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import replace_prints

_RNG = np.random.default_rng(7)


def scenes(lengths_s: Sequence[float], rate: int, seed: int = 0) -> Fingerprints:
    """Codes of scenes that move: between its first and its last code, a scene's bits change one after the other."""
    rng = np.random.default_rng(seed)
    rows = []
    for length in lengths_s:
        first, last = rng.integers(0, 2, (2, 256), dtype=np.uint8)
        order = rng.permutation(256)
        for n in range(round(length * rate)):
            mixed = first.copy()
            changed = order[: int(100 * n / (length * rate))]
            mixed[changed] = last[changed]
            rows.append(mixed)
    return np.packbits(np.array(rows), axis=1)


def noisy(codes: Fingerprints, bits: int) -> Fingerprints:
    """The codes with some bits of each flipped."""
    flipped = np.zeros((len(codes), 256), np.uint8)
    for row in flipped:
        row[_RNG.choice(256, bits, replace=False)] = 1
    return codes ^ np.packbits(flipped, axis=1)


def video(codes: Fingerprints, rate: int = 2, **regions: Fingerprints) -> VideoPrints:
    """A video with these codes."""
    return VideoPrints(len(codes) / rate, codes, regions)  # type: ignore[arg-type]


def write_prints(store: Store, videos: dict[str, VideoPrints], *, digests: dict[str, bytes] | None = None) -> None:
    """Store the fingerprints of the videos of items, which have the address `ITEM.mp4`."""
    with store.writing():
        replace_prints(
            store,
            list(videos),
            [
                {
                    "print_id": f"{item_id}#0",
                    "item_id": item_id,
                    "uri": f"{item_id}.mp4",
                    "digest": (digests or {}).get(item_id, item_id.encode().ljust(32)[:32]),
                    "duration_s": prints.duration_s,
                    **prints.pack(),
                }
                for item_id, prints in videos.items()
            ],
        )
