"""Channels of a video's fingerprints: the whole frame and its regions, each a row of codes at a fixed rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import Fingerprints
from firstsight.media.video_prints import PRINTS_PER_S, REGION_PRINTS_PER_S, VideoPrints

Channel = Literal["whole", "centre", "core", "strip", "inner"]

CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)

CHANNEL_PAIRS: Final[tuple[tuple[Channel, Channel], ...]] = (
    ("whole", "whole"),
    ("whole", "centre"),
    ("centre", "whole"),
    ("whole", "core"),
    ("core", "whole"),
    ("whole", "strip"),
    ("strip", "whole"),
    ("whole", "inner"),
    ("inner", "whole"),
    ("inner", "inner"),
    ("centre", "centre"),
    ("strip", "inner"),
    ("inner", "strip"),
    ("centre", "inner"),
    ("inner", "centre"),
)
"""Channels that are compared. Two strips, or a strip and a core, say nothing that the other pairs do not."""


@dataclass(frozen=True)
class Track:
    """The codes of one channel."""

    codes: Fingerprints  # (n, 32); row k belongs to second k / rate
    rate: float  # codes per second
    has_code: NDArray[np.bool_]  # (n,)


def tracks(prints: VideoPrints, rate: float = PRINTS_PER_S) -> dict[Channel, Track]:
    """The channels of a video that have codes.

    Args:
        rate: codes of the whole frame per second, if it is not `PRINTS_PER_S`. Regions have half as many.
    """
    codes: dict[Channel, tuple[Fingerprints, float]] = {"whole": (prints.whole, rate)}
    for region, of_region in prints.regions.items():
        codes[region] = (of_region, rate * REGION_PRINTS_PER_S / PRINTS_PER_S)
    found = {
        channel: Track(rows, own_rate, np.asarray(rows.any(axis=1))) for channel, (rows, own_rate) in codes.items()
    }
    return {channel: track for channel, track in found.items() if track.has_code.any()}
