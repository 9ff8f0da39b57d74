"""Colours between sRGB and CIELAB (D65), with numpy alone: the decoding child imports this.

Source: IEC 61966-2-1 (sRGB) and CIE 15:2004 (CIELAB), section 8.2.1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Lab = NDArray[np.float32]
"""(..., 3): lightness 0 to 100, and the axes green to red and blue to yellow, about -128 to 128."""

_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE: Final = np.array([0.95047, 1.0, 1.08883])
_FROM_XYZ: Final = np.linalg.inv(_TO_XYZ)
_EDGE: Final = 6 / 29

_levels = np.arange(256) / 255
_LINEAR: Final = np.where(_levels <= 0.04045, _levels / 12.92, ((_levels + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Light of each of the 256 levels of a channel, 0 to 1."""

_TO_WHITE_XYZ: Final = (_TO_XYZ.T / _WHITE).astype(np.float32)


def to_lab(rgb: NDArray[np.uint8]) -> Lab:
    """Convert sRGB levels, (..., 3) of 0 to 255, to CIELAB."""
    xyz = _LINEAR[rgb] @ _TO_WHITE_XYZ
    f = np.where(xyz > _EDGE**3, np.cbrt(xyz), xyz / (3 * _EDGE**2) + 4 / 29)
    lightness = 116 * f[..., 1] - 16
    lab = np.stack([lightness, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)
    return np.asarray(lab, dtype=np.float32)


def to_hex(lab: Lab) -> str:
    """Write one colour, (3,), as `#rrggbb`; colours outside sRGB are clipped."""
    y = (float(lab[0]) + 16) / 116
    f = np.array([y + float(lab[1]) / 500, y, y - float(lab[2]) / 200])
    xyz = np.where(f > _EDGE, f**3, 3 * _EDGE**2 * (f - 4 / 29)) * _WHITE
    light = np.clip(_FROM_XYZ @ xyz, 0, 1)
    levels = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(level) * 255):02x}" for level in levels)


def from_hex(text: str) -> Lab:
    """Read `#rrggbb` as one colour, (3,)."""
    return to_lab(np.frombuffer(bytes.fromhex(text.removeprefix("#")), dtype=np.uint8))
