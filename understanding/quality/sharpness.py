"""Blur of a picture, from the spectra of its sharpest blocks.

A sharp edge has a power spectrum of 1 / f^2 (f in cycles a pixel), whatever its contrast. A Gaussian blur of standard
deviation s multiplies the spectrum by exp(-4 pi^2 s^2 f^2). So the power of a high band divided by that of a low band
measures s, independently of the product, its contrast and its background. Thin lines and texture have more high
frequencies than edges: they never look blurred. Only the blocks with the strongest steps are used: a soft background
behind a sharp product does not count.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 32
_MAX_BLOCKS: Final = 1024  # whose contrast is compared; of more, every n-th, so that cost has a bound
_USED_BLOCKS: Final = 64
_MIN_STEP: Final = 8.0  # levels of 255; less is noise
_RELATIVE_STEP: Final = 0.4  # of the strongest block

SHARP_PX: Final = 0.55
"""Blur of a sharp picture, in pixels: what the optics, the sensor and the reduction to the shop's size leave."""


def _band(low: float, high: float) -> NDArray[np.bool_]:
    frequency = np.hypot(np.fft.fftfreq(BLOCK)[:, None], np.fft.rfftfreq(BLOCK)[None, :])
    return np.asarray((frequency >= low) & (frequency < high))


# Bands in cycles a pixel, for small, medium and strong blur: the noise of a JPEG file fills the high band of a strongly
# blurred picture, so that each pair measures only up to some blur. The third value is the logarithm (base 10) of the
# ratio at an ideal step, and the fourth is s^2 for a change of 1 in the logarithm: ln 10 / (4 pi^2 (f1^2 - f2^2)).
_PAIRS: Final = (
    (_band(0.33, 0.5), _band(0.12, 0.17), -0.92, 0.376),
    (_band(0.22, 0.27), _band(0.08, 0.12), -1.05, 1.17),
    (_band(0.17, 0.22), _band(0.045, 0.08), -1.28, 1.70),
)
_LIMITS: Final = (0.0, 1.0, 1.3)  # blur in pixels from which a pair is used
_WINDOW: Final = np.outer(np.hanning(BLOCK + 1)[:BLOCK], np.hanning(BLOCK + 1)[:BLOCK]).astype(np.float32)


def blur_px(luma: NDArray[np.float32]) -> float | None:
    """Measure the blur of the sharpest parts of a picture.

    Args:
        luma: (h, w) brightness, 0 to 255.

    Returns:
        Standard deviation of the equivalent Gaussian blur in pixels, 0 to about 4; None if the picture is smaller than
        32 x 32 pixels or has no visible edge.
    """
    blocks = _strongest_blocks(luma)
    if blocks is None:
        return None
    blocks = (blocks - blocks.mean(axis=(1, 2), keepdims=True)) * _WINDOW
    power = np.abs(np.fft.rfft2(blocks)) ** 2
    blur = 0.0
    for (high, low, step, squared), limit in zip(_PAIRS, _LIMITS, strict=True):
        ratio = np.log10((power[:, high].mean(axis=1) + 1e-2) / (power[:, low].mean(axis=1) + 1e-2))
        estimate = float(np.sqrt(max((step - float(np.median(ratio))) * squared, 0.0)))
        if limit == 0.0 or estimate > limit:
            blur = max(blur, estimate)
    return blur


def _strongest_blocks(luma: NDArray[np.float32]) -> NDArray[np.float32] | None:
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if not rows or not columns:
        return None
    top, left = (luma.shape[0] - rows * BLOCK) // 2, (luma.shape[1] - columns * BLOCK) // 2
    middle = luma[top : top + rows * BLOCK, left : left + columns * BLOCK]
    blocks = middle.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)
    blocks = blocks[:: -(-len(blocks) // _MAX_BLOCKS)]
    across = np.abs(blocks[:, 1::2, 1:] - blocks[:, 1::2, :-1])  # of every second row
    down = np.abs(blocks[:, 1::2, 1:] - blocks[:, ::2, 1:])
    step = np.maximum(across, down).reshape(len(blocks), -1)
    strength = np.partition(step, step.shape[1] * 98 // 100, axis=1)[:, step.shape[1] * 98 // 100]
    order = np.argsort(-strength, kind="stable")[:_USED_BLOCKS]
    used = order[strength[order] >= max(_MIN_STEP, _RELATIVE_STEP * float(strength[order[0]]))]
    return blocks[used] if len(used) else None
