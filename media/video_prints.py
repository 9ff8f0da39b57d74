"""Fingerprints of a whole video: PDQ codes of its frames at a fixed rate, whole and in regions.

They identify a video, as the frames that are encoded for search describe it. A copy of a video keeps its codes in their
order, whichever frames a search would choose from it. Codes of regions match copies that show a part of the original,
or the original as a part of their picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import FINGERPRINT_BYTES, Fingerprints
from firstsight.media.sound_prints import CODE_BYTES, SoundCodes

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


MAX_CODES_BYTES: Final = 64 * 2**20
"""Largest size of the unpacked codes of one kind: 12 days of whole frames."""


class PackedPrints(TypedDict):
    """The codes of a video as compressed bytes; None for a region, or the sound, that has no codes."""

    whole: bytes
    centre: bytes | None
    core: bytes | None
    strip: bytes | None
    inner: bytes | None
    sound: bytes | None


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

    def pack(self) -> PackedPrints:
        """Compress the codes, for storing them."""
        regions = {name: _pack(codes) for name, codes in self.regions.items()}
        return PackedPrints(
            whole=_pack(self.whole),
            centre=regions.get("centre"),
            core=regions.get("core"),
            strip=regions.get("strip"),
            inner=regions.get("inner"),
            sound=None if self.sound is None else _pack(self.sound),
        )

    @classmethod
    def unpack(cls, duration_s: float, packed: Mapping[str, Any]) -> VideoPrints:
        """Read a row of a table with what `pack` made.

        Raises:
            ValueError: the bytes are damaged.
        """
        regions = {name: _unpack(codes, FINGERPRINT_BYTES) for name in REGIONS if (codes := packed[name]) is not None}
        sound = None if packed["sound"] is None else _unpack(packed["sound"], CODE_BYTES)
        return cls(duration_s, _unpack(packed["whole"], FINGERPRINT_BYTES), regions, sound)


_PLAIN: Final = b"\0"  # no zlib stream starts with it


def _pack(codes: NDArray[np.uint8]) -> bytes:
    """Compress codes. Neighbouring codes are alike, so each is stored as its difference from the one before.

    Codes of a fast video may take more bytes in this way; they are stored as they are, after `_PLAIN`.
    """
    changes = codes.copy()
    changes[1:] ^= codes[:-1]
    packed = zlib.compress(changes.tobytes())
    return packed if len(packed) <= codes.nbytes else _PLAIN + codes.tobytes()


def _unpack(data: bytes, width: int) -> NDArray[np.uint8]:
    if data.startswith(_PLAIN):
        return _rows(data[len(_PLAIN) :], width)
    inflater = zlib.decompressobj()
    try:
        changes = inflater.decompress(data, MAX_CODES_BYTES)
    except zlib.error as error:
        raise ValueError(f"the codes cannot be decompressed ({error})") from None
    if not inflater.eof:
        raise ValueError("the codes are cut off")
    codes: NDArray[np.uint8] = np.bitwise_xor.accumulate(_rows(changes, width), axis=0)
    return codes


def _rows(data: bytes, width: int) -> NDArray[np.uint8]:
    if len(data) % width:
        raise ValueError("the codes are cut off")
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def as_codes(data: bytes | None) -> Fingerprints:
    """Read codes from their bytes, (n, 32); none for None."""
    return np.frombuffer(data or b"", np.uint8).reshape(-1, FINGERPRINT_BYTES)
