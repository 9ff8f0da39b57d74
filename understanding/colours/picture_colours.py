"""The named colours of one picture, by its pixels. It runs in the decoding child, so it imports numpy and Pillow alone.

Steps: reduce the picture; leave out the background and skin (`subject_mask`); group the remaining pixels in CIELAB by
k-means; give each group a share in the named colours (`named_shades`). Pixels near the middle count more.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.media.picture_facts import JsonValue, PictureFact, PictureSource
from firstsight.understanding.colours.cielab import Lab, to_hex, to_lab
from firstsight.understanding.colours.kmeans import cluster_colours
from firstsight.understanding.colours.named_shades import COLOURS, name_shares
from firstsight.understanding.colours.subject_mask import Mask, centre_weights, find_subject

SIDE: Final = 112
"""Longer side of the reduced picture. From 96 to 160, the benchmark finds the same colours, within one item in 80."""

MIN_SIDE: Final = 8
"""Shorter side of a picture that can show a product; a smaller one is a spacer or a tracking pixel."""

MULTICOLOUR_BELOW: Final = 0.45
"""A picture is multicoloured if no named colour has this share, or if three have `MULTICOLOUR_THREE` each."""

MULTICOLOUR_THREE: Final = 0.18

PATTERN_STEP: Final = 3
"""Distance of the pixels that are compared for a pattern, along rows and columns: edges are up to two pixels soft."""

PATTERN_EDGES: Final = 0.26
"""Share of such pairs, per pixel, in two different clusters, from which a picture has a pattern, such as stripes."""

PATTERN_DISTANCE: Final = 20.0
"""Least distance of two clusters in CIELAB (dE 1976) whose edges count; nearer ones are folds and shadows."""

PATTERN_SHARE: Final = 0.15
"""Least share of a cluster whose edges count; smaller ones are outlines, seams and print."""

COLOUR_FACT: Final = PictureFact(
    name="colours",
    function="firstsight.understanding.colours.picture_colours:measure_colours",
    version="1",
    min_side=SIDE,
)


def measure_colours(picture: Image.Image, source: PictureSource) -> JsonValue | None:
    """Measure the named colours of a picture.

    Args:
        picture: upright RGB picture of any size.
        source: its size before it was reduced.

    Returns:
        None if the picture is too small or blank white, else an object:
        `shares`: named colour to share, 0 to 1, largest first; they add up to 1, and shares below 0.005 are left out.
        `clusters`: up to five `{"hex": "#rrggbb", "share": 0 to 1}`, largest first.
        `multicolour`, `pattern`: booleans.
        `subject`: share of the picture that was counted, 0 to 1.
    """
    if min(source.width, source.height, *picture.size) < 1 or min(source.width, source.height) < MIN_SIDE:
        return None
    lab = to_lab(np.asarray(_reduce(picture)))
    subject = find_subject(lab)
    if subject is None:
        return None
    weights = centre_weights(*subject.shape)
    centres, labels = cluster_colours(lab[subject], weights[subject])
    cluster_shares = _shares_of(labels, weights[subject], len(centres))
    shares = cluster_shares @ name_shares(centres)
    order = np.argsort(-shares, kind="stable")
    return {
        "shares": {COLOURS[n]: round(float(shares[n]), 3) for n in order if shares[n] >= 0.005},
        "clusters": [
            {"hex": to_hex(centres[n]), "share": round(float(cluster_shares[n]), 3)}
            for n in np.argsort(-cluster_shares, kind="stable")
            if cluster_shares[n] > 0
        ],
        "multicolour": is_multicolour(shares),
        "pattern": _has_pattern(subject, labels, centres, cluster_shares, weights),
        "subject": round(float(subject.mean()), 3),
    }


def is_multicolour(shares: NDArray[np.float64]) -> bool:
    """Whether these shares of the named colours, (12,), are those of something multicoloured."""
    return bool(shares.max() < MULTICOLOUR_BELOW or np.sum(shares >= MULTICOLOUR_THREE) >= 3)


def _reduce(picture: Image.Image) -> Image.Image:
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.BOX)


def _shares_of(labels: NDArray[np.int64], weights: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    totals = np.bincount(labels, weights, minlength=count)
    return np.asarray(totals / totals.sum(), dtype=np.float64)


def _has_pattern(
    subject: Mask, labels: NDArray[np.int64], centres: Lab, shares: NDArray[np.float64], weights: NDArray[np.float32]
) -> bool:
    """Whether large clusters alternate: the weighted number of their edges per pixel of the subject is high."""
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2) > PATTERN_DISTANCE
    large = shares >= PATTERN_SHARE
    counts = apart & large[:, None] & large[None]
    # index -1 is a row and a column of zeros, for pixels outside the subject
    counts = np.pad(counts, (0, 1))
    places = np.full(subject.shape, -1)
    places[subject] = labels
    step = PATTERN_STEP
    edges = (weights[step:] * counts[places[step:], places[:-step]]).sum()
    edges += (weights[:, step:] * counts[places[:, step:], places[:, :-step]]).sum()
    return bool(edges >= PATTERN_EDGES * weights[subject].sum())
