"""Fingerprints of a whole video: PDQ codes of its frames at a fixed rate, whole and in regions.

They identify a video, as the frames that are encoded for search describe it. A copy of a video keeps its codes in their
order, whichever frames a search would choose from it. Codes of regions match copies that show a part of the original,
or the original as a part of their picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import FINGERPRINT_BYTES, Fingerprints
from firstsight.media.sound_prints import SoundCodes

PRINTS_PER_S: Final = 2
"""Codes of the whole frame for each second of video."""

CROPS_PER_S: Final = 8
"""Codes of each crop of a clip that somebody searches with, for each second: they tell the offset more exactly."""

CROPS_UP_TO_S: Final = 30.0
"""Longest clip with codes of crops, in seconds."""

REGION_PRINTS_PER_S: Final = 1
"""Codes of each region for each second of video."""

Region = Literal["centre", "core", "strip", "inner"]
"""Regions of a frame that have codes of their own:

- centre, core: the middle of the picture, 78 and 66 % of its width and height, as a crop shows it.
- strip: the middle upright strip of a wide picture, as a vertical version shows it.
- inner: a rectangle with a picture of its own, such as the sharp middle of a blurred vertical version, the video in a
  screen recording, or a picture in picture. Only if such a rectangle is found.
"""

REGIONS: Final[tuple[Region, ...]] = get_args(Region)


@dataclass(frozen=True)
class VideoPrints:
    """The fingerprints of one video.

    Row n of `whole` belongs to second n / `PRINTS_PER_S`, row n of a region to second n / `REGION_PRINTS_PER_S`. A row
    of zeros means that there is no code: the frame is flat, or was not decoded.
    """

    duration_s: float
    whole: Fingerprints  # (n, 32) of the picture without borders, bars and overlays that never change
    regions: Mapping[Region, Fingerprints] = field(default_factory=dict)  # (m, 32) each; only those that the video has
    sound: SoundCodes | None = None  # (k, 4), see `media.sound_prints`; None without a sound track
    crops: NDArray[np.uint8] | None = None
    """(c, n, 32) of a short clip that somebody searches with, `CROPS_PER_S` a second: c crops of the whole frame."""


def as_codes(data: bytes | None) -> Fingerprints:
    """Read stored codes, (n, 32); none for None."""
    return np.frombuffer(data or b"", np.uint8).reshape(-1, FINGERPRINT_BYTES)
