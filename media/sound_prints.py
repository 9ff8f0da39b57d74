"""Fingerprints of a sound track: codes of 32 bits that hardly change when it is encoded again.

Each code compares the energies of 33 neighbouring bands between 300 and 2,000 Hz with each other and with those of the
code before: a bit tells whether the difference of two bands has grown. Equaliser, loudness and lossy encoding change
few bits, and codes of unrelated sound differ in half of them.

Source: Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002. There, a code covers 0.37 s and
follows the one before after 11.6 ms, because a query starts anywhere. Here the pictures give the offset of two videos
to a quarter of a second, so codes are rarer and cover more time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SOUND_RATE: Final = 5_512
"""Samples per second that the codes are made from."""

MAX_SOUND_S: Final = 12 * 3600.0
"""Seconds of sound that are read of one video."""

SOUND_PRINTS_PER_S: Final = 4
"""Codes for each second of sound."""

CODE_BYTES: Final = 4

SoundCodes = NDArray[np.uint8]
"""(n, 4) uint8: one code per row; a row of zeros means silence."""

Samples = NDArray[np.float32]
"""(n,) mono, -1 to 1, SOUND_RATE per second."""

MIN_CODES: Final = 12
"""Fewest pairs of codes that tell something: three seconds of sound."""

SAME_SOUND: Final = 0.66
"""Smallest share of equal bits of the same sound. Measured on music and speech: .70 or more after MP3 at 32 kbit/s,
equaliser, limiter, noise 10 dB below the sound, another start, and a speed of 1.25; .64 or less for other sound."""

_HOP: Final = SOUND_RATE // SOUND_PRINTS_PER_S
_WINDOW: Final = 4_096  # 0.74 s, so that half a step between the codes of two copies changes a sixth of the window
_BANDS: Final = 33
_LOWEST_HZ, _HIGHEST_HZ = 300.0, 2_000.0
_SILENCE: Final = 1e-3  # root mean square of a silent window: -60 dB
_BLOCK: Final = 256  # windows that are transformed at once: 4 MB


def sound_codes(blocks: Iterable[Samples]) -> SoundCodes:
    """Compute the codes of a sound track.

    Args:
        blocks: its samples in order, in blocks of any length.

    Returns:
        Row n covers the window of 0.74 s whose middle is at second n / SOUND_PRINTS_PER_S.
    """
    # half a window of silence before the first sample puts the middle of the first window at second 0
    rest = np.zeros(_WINDOW // 2, np.float32)
    energies: list[NDArray[np.float64]] = []
    loud: list[NDArray[np.bool_]] = []
    for block in _with_end(blocks):
        rest = np.concatenate([rest, block])
        count = max(0, (len(rest) - _WINDOW) // _HOP + 1)
        for start in range(0, count, _BLOCK):
            windows = sliding_window_view(rest, _WINDOW)[start * _HOP : min(start + _BLOCK, count) * _HOP : _HOP]
            energies.append(_band_energies(windows))
            loud.append(np.sqrt(np.mean(np.square(windows), axis=1)) > _SILENCE)
        rest = rest[count * _HOP :]
    if not energies:
        return np.zeros((0, CODE_BYTES), np.uint8)
    return _codes(np.concatenate(energies), np.concatenate(loud))


def as_sound_codes(data: bytes | None) -> SoundCodes | None:
    """Read stored codes, (n, 4); None for None."""
    return None if data is None else np.frombuffer(data, np.uint8).reshape(-1, CODE_BYTES)


def agreement(first: SoundCodes, second: SoundCodes, *, offset_s: float, speed: float = 1.0) -> float | None:
    """Measure how well the sound tracks of two videos agree where the videos show the same.

    Sound that keeps its pitch at another speed agrees too. Sound that is higher or lower than the original does not.

    Args:
        first, second: codes of the two videos.
        offset_s, speed: second in the second video = speed * second in the first + offset_s, to a quarter of a second.

    Returns:
        Share of equal bits, 0 to 1: about .5 for unrelated sound, SAME_SOUND or more for the same sound. None if fewer
        than MIN_CODES pairs of codes have sound.
    """
    shares = [_equal_share(first, second, speed, offset_s * SOUND_PRINTS_PER_S + step) for step in (-1, 0, 1)]
    return max((share for share in shares if share is not None), default=None)


def _equal_share(first: SoundCodes, second: SoundCodes, speed: float, offset: float) -> float | None:
    rows = np.arange(len(first))
    others = np.rint(speed * rows + offset).astype(np.int64)
    inside = (others >= 0) & (others < len(second))
    codes, other_codes = first[rows[inside]], second[others[inside]]
    heard = codes.any(axis=1) & other_codes.any(axis=1)
    if heard.sum() < MIN_CODES:
        return None
    return 1 - float(np.bitwise_count(codes[heard] ^ other_codes[heard]).mean()) / 8


def _with_end(blocks: Iterable[Samples]) -> Iterator[Samples]:
    yield from blocks
    yield np.zeros(_WINDOW // 2, np.float32)


def _band_energies(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 33) energies of windows, (n, 4096)."""
    power = np.square(np.abs(np.fft.rfft(windows * _HANN, axis=1)))
    return np.add.reduceat(power, _EDGES, axis=1)[:, :_BANDS].astype(np.float64)


def _codes(energies: NDArray[np.float64], loud: NDArray[np.bool_]) -> SoundCodes:
    steps = np.diff(energies, axis=1)
    before = np.concatenate([np.zeros_like(steps[:1]), steps[:-1]])
    codes = np.packbits(steps > before, axis=1)
    codes[~loud] = 0
    return codes


_HANN: Final = np.hanning(_WINDOW).astype(np.float32)
_EDGES: Final = np.unique(
    np.rint(np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _BANDS + 1) * _WINDOW / SOUND_RATE).astype(np.int64)
)
"""(34,) first bins of the bands, and of what lies above them."""
