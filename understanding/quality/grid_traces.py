"""Traces of enlargement and of JPEG blocks: differences between neighbouring pixels that repeat over the picture."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MIN_SIDE: Final = 64
_MAX_LINES: Final = 320  # rows (or columns) that are averaged; of more, every n-th
_DOUBLE: Final = 0.125  # levels that pictures without enlargement rarely reach
_NEARLY_DOUBLE: Final = 0.065
_FOURFOLD: Final = 0.14
_OTHER: Final = 6.0
_MAX_DOUBLE_BLUR: Final = 1.5  # pixels: JPEG compression of a more blurred picture leaves the same trace
_SEGMENT: Final = 64
_JPEG_FREQUENCIES: Final = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
_SMOOTH: Final = 16.0  # levels of 255; larger differences are edges, which say nothing of blocks


def enlargement_trace(luma: NDArray[np.float32], blur: float) -> float | None:
    """Measure how clearly a picture has been enlarged by interpolation.

    Interpolated pixels are smoother than the original ones between them, with the period of the enlargement (A. C.
    Gallagher, Detection of linear and cubic interpolation in JPEG compressed images, 2005). Enlargement to 2 and 4
    times the size needs a measure of its own, because JPEG blocks repeat at the same periods.

    Args:
        luma: (h, w) brightness in original pixels, 0 to 255.
        blur: of the picture, in pixels.

    Returns:
        0 and up; 1 is the level that unenlarged pictures rarely reach. None below 64 x 64 pixels.
    """
    if min(luma.shape) < _MIN_SIDE:
        return None
    axes = [_lines(luma), _lines(luma.T)]
    whole = [_whole_factors(axis) for axis in axes]
    double, fourfold = (sum(factors[n] for factors in whole) / len(axes) for n in (0, 1))
    other = min(_other_factors(axis) for axis in axes)
    trace = max(0.0, double / _DOUBLE, fourfold / _FOURFOLD, other / _OTHER)
    if blur < _MAX_DOUBLE_BLUR:
        trace = max(trace, sum(_nearly_double(axis) for axis in axes) / len(axes) / _NEARLY_DOUBLE)
    return trace


def blocking(luma: NDArray[np.float32]) -> float | None:
    """Measure the steps at the borders of JPEG's 8 x 8 blocks, compared with the steps inside of the blocks.

    Args:
        luma: (h, w) brightness in original pixels, 0 to 255; the blocks start at the upper left pixel.

    Returns:
        Relative difference: about 0 without blocks, above 0.5 where they can be seen. None below 64 x 64 pixels.
    """
    if min(luma.shape) < _MIN_SIDE:
        return None
    steps = []
    for axis in (_lines(luma), _lines(luma.T)):
        difference = np.abs(np.diff(axis, axis=1))
        difference = difference[:, : difference.shape[1] // 8 * 8]
        smooth = (difference < _SMOOTH) & (difference.reshape(len(axis), -1, 8).max(axis=2) > 0).repeat(8, axis=1)
        count = smooth.sum(axis=0).reshape(-1, 8).sum(axis=0)
        mean = (difference * smooth).sum(axis=0).reshape(-1, 8).sum(axis=0) / np.maximum(count, 1)
        inside = float(mean[:7].mean())
        steps.append((float(mean[7]) + 0.02) / (inside + 0.02) - 1.0)
    return float(np.mean(steps))


def _lines(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    return luma[:: -(-len(luma) // _MAX_LINES)]


def _whole_factors(lines: NDArray[np.float32]) -> tuple[float, float]:
    """Logarithms of the contrast of differences with period 2 and 4.

    The last of 8 differences is left out, because the borders of JPEG blocks change it.
    """
    profile = np.abs(np.diff(lines, axis=1)).mean(axis=0)
    phase = profile[: len(profile) // 8 * 8].reshape(-1, 8).mean(axis=0) + 0.02
    double = np.log(phase[[1, 3, 5]].mean() / phase[[0, 2, 4, 6]].mean())
    fourfold = np.log(phase[3] / phase[[0, 1, 2, 4, 5, 6]].mean())
    return float(double), float(fourfold)


def _nearly_double(lines: NDArray[np.float32]) -> float:
    """Contrast of differences with period 2, whatever their phase: at an odd size, it changes slowly."""
    profile = np.log(np.abs(np.diff(lines, axis=1)).mean(axis=0) + 0.05)
    if len(profile) < _SEGMENT:
        return 0.0
    segments = profile[: len(profile) // _SEGMENT * _SEGMENT].reshape(-1, _SEGMENT // 8, 8)
    odd = segments[:, :, [1, 3, 5]].mean(axis=(1, 2))
    return float(np.abs(odd - segments[:, :, ::2].mean(axis=(1, 2))).mean())


def _other_factors(lines: NDArray[np.float32]) -> float:
    """Height of the strongest period of the second difference, compared with the median."""
    profile = np.log(np.abs(np.diff(lines, 2, axis=1)).mean(axis=0) + 0.05)
    around = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(profile, 4, mode="edge"), 9), axis=1)
    profile = (profile - around) * np.hanning(len(profile))
    spectrum = np.abs(np.fft.rfft(profile))
    frequency = np.fft.rfftfreq(len(profile))
    used = frequency > 0.15
    typical = float(np.median(spectrum[used]))
    for of_jpeg in _JPEG_FREQUENCIES:
        used &= np.abs(frequency - of_jpeg) >= 3 / len(profile)
    return float(spectrum[used].max()) / typical if typical > 0 else 0.0
