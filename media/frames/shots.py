"""Where one shot of a video ends and the next begins, told from small summaries of a few of its frames.

A cut is where the colour histograms of two neighbouring frames overlap little (histogram intersection: Swain and
Ballard, "Color Indexing", IJCV 1991; over HSV, as shot detection uses it: Lienhart, "Comparison of automatic shot
boundary detection algorithms", SPIE 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CUT_OVERLAP: Final = 0.65
"""Neighbouring frames whose histograms overlap less are of two shots. Of frames of one shot, its camera moving, the
least measured was .84; of two pictures, nine in ten were below .4, and below .58 where both stand before white."""

MAX_COLOUR_SHARE: Final = 0.1
"""What one colour counts at most, so that a white wall does not hide what stands before it."""

SAME_OVERLAP: Final = 0.8
SAME_DIFFERENCE: Final = 12.0
"""Frames of one shot whose histograms overlap more, and whose thumbnails differ less (mean of 0 to 255), are alike."""

FLAT_DEVIATION: Final = 5.0
"""A frame whose brightness and colour vary less than this (standard deviation of 0 to 255) shows nothing."""

BLACK_LEVEL: Final = 32
"""A frame with 99 % of its pixels darker than this (0 to 255) is black."""

_SUMMARY_SIDE: Final = 64
_HUES, _SATURATIONS, _VALUES = 12, 3, 5
_GREY_SATURATION: Final = 38  # saturation below which a pixel's hue is noise


@dataclass(frozen=True)
class FrameSummary:
    """What is kept of a frame to compare it with others."""

    histogram: NDArray[np.float32]  # over hue, saturation and value, no colour above its most; sums to 1
    thumbnail: NDArray[np.float32]  # (16, 16, 3), 0 to 255
    empty: bool  # black, or of one colour
    contrast: float  # standard deviation of its brightness and colour, 0 to 128


def summarise(picture: Image.Image) -> FrameSummary:
    """Summarise a frame: 1.5 ms for one of 640 x 360."""
    small = picture.resize((_SUMMARY_SIDE, _SUMMARY_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(small, dtype=np.float32)
    thumbnail = pixels.reshape(16, _SUMMARY_SIDE // 16, 16, _SUMMARY_SIDE // 16, 3).mean(axis=(1, 3))
    contrast = float(pixels.std(axis=(0, 1)).max())
    black = float(np.quantile(pixels.max(axis=2), 0.99)) < BLACK_LEVEL
    return FrameSummary(_histogram(small), thumbnail, black or contrast < FLAT_DEVIATION, contrast)


def _histogram(small: Image.Image) -> NDArray[np.float32]:
    hue, saturation, value = np.moveaxis(np.asarray(small.convert("HSV"), dtype=np.int32), 2, 0)
    values = value * _VALUES // 256
    colours = (hue * _HUES // 256) * _SATURATIONS + (saturation - _GREY_SATURATION) * _SATURATIONS // (
        256 - _GREY_SATURATION
    )
    bins = np.where(saturation < _GREY_SATURATION, values, _VALUES + colours * _VALUES + values)
    counts = np.bincount(bins.ravel(), minlength=_VALUES * (1 + _HUES * _SATURATIONS))
    shares = np.minimum(counts / counts.sum(), MAX_COLOUR_SHARE)
    return np.asarray(shares / shares.sum(), dtype=np.float32)


def overlap(a: FrameSummary, b: FrameSummary) -> float:
    """The share of two frames' colours that is common to both, 0 to 1."""
    return float(np.minimum(a.histogram, b.histogram).sum())


def is_cut(a: FrameSummary, b: FrameSummary) -> bool:
    """Whether two neighbouring frames are of two shots; an empty frame is a shot apart from one that is not."""
    return a.empty != b.empty or (not a.empty and overlap(a, b) < CUT_OVERLAP)


def looks_same(a: FrameSummary, b: FrameSummary) -> bool:
    """Whether two frames show the same, so that one of them is enough."""
    return overlap(a, b) > SAME_OVERLAP and float(np.abs(a.thumbnail - b.thumbnail).mean()) < SAME_DIFFERENCE
