"""Makes the fingerprints of a video from the thumbnails of its scan, a chunk of minutes at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.media.fingerprints import FINGERPRINT_BYTES, Fingerprints
from firstsight.media.frames.video_frames import TICKS_PER_S, ScannedFrame
from firstsight.media.prints import layout
from firstsight.media.prints.codes import Box, codes
from firstsight.media.prints.inner_picture import inner_picture, is_border
from firstsight.media.prints.layout import Pictures
from firstsight.media.video_prints import PRINTS_PER_S, REGION_PRINTS_PER_S, REGIONS, Region, VideoPrints

CHUNK_TICKS: Final = 600 * TICKS_PER_S
"""Ticks whose thumbnails are in memory together: 10 minutes, 17 MB."""

MIDDLE_SHARES: Final[dict[Region, float]] = {"centre": 0.78, "core": 0.66}
"""Shares of the width and height of the content in regions of its middle. A code still matches a crop whose sides are
5 % longer or shorter (40 to 70 of 256 bits), and the centre of a crop to 85 % is the core of the original."""

STRIP_ASPECT: Final = 9 / 16
"""Width of the region `strip` divided by its height."""

INNER_TICKS: Final = 30 * TICKS_PER_S
"""Ticks in which an inner picture must stay at its place to be found."""

_MIN_SIDE: Final = 16  # pixels of a thumbnail in which bars are looked for
_REGION_STEP: Final = TICKS_PER_S // REGION_PRINTS_PER_S

assert PRINTS_PER_S == TICKS_PER_S


class PrintMaker:
    """Collects the frames of a scan and makes `VideoPrints`; only the codes grow with the video."""

    def __init__(self) -> None:
        self._ticks: list[int] = []
        self._pictures: list[NDArray[np.uint8]] = []  # (h, w) grey, of one size
        self._starts: list[int] = []  # places in `_pictures` where shots start
        self._found: dict[str, list[tuple[NDArray[np.int64], Fingerprints]]] = {}

    def add(self, frame: ScannedFrame, starts_shot: bool) -> None:
        """Take the next frame of the scan."""
        picture = grey(frame.thumbnail)
        if self._ticks and (
            picture.shape != self._pictures[-1].shape or frame.tick // CHUNK_TICKS != self._ticks[-1] // CHUNK_TICKS
        ):
            self._finish_chunk()
        if starts_shot or not self._ticks:
            self._starts.append(len(self._ticks))
        self._ticks.append(frame.tick)
        self._pictures.append(picture)

    def finish(self, duration_s: float) -> VideoPrints:
        """Make the fingerprints of all frames."""
        self._finish_chunk()
        rows = max((int(ticks[-1]) for ticks, _ in self._found.get("whole", ())), default=-1) + 1
        regions: dict[Region, Fingerprints] = {
            name: self._joined(name, -(-rows // _REGION_STEP)) for name in REGIONS if name in self._found
        }
        return VideoPrints(duration_s, self._joined("whole", rows), regions)

    def _joined(self, name: str, rows: int) -> Fingerprints:
        joined = np.zeros((rows, FINGERPRINT_BYTES), np.uint8)
        for places, found in self._found.get(name, ()):
            joined[places] = found
        return joined

    def _finish_chunk(self) -> None:
        if not self._ticks:
            return
        ticks, pictures = np.array(self._ticks), np.stack(self._pictures)
        bounds = [*self._starts, len(ticks)]
        self._ticks, self._pictures, self._starts = [], [], []
        active = layout.activity(pictures)
        content = _content_box(pictures, active)
        for a, b in pairwise(bounds):
            box = _without_bars(pictures[a:b], content)
            of_shot = pictures[a:b] if active is None else _without_overlay(pictures[a:b], active, box)
            self._add_codes("whole", ticks[a:b], of_shot, box)
            at_region = ticks[a:b] % _REGION_STEP == 0
            for name, region in _regions(box).items():
                self._add_codes(name, ticks[a:b][at_region] // _REGION_STEP, of_shot[at_region], region)
        for a in range(0, len(ticks), INNER_TICKS):
            part = slice(a, a + INNER_TICKS)
            inner = inner_picture(_distinct(pictures[part]), content)
            if inner is not None:
                inner = _without_bars(pictures[part], inner)
                at_region = ticks[part] % _REGION_STEP == 0
                self._add_codes("inner", ticks[part][at_region] // _REGION_STEP, pictures[part][at_region], inner)

    def _add_codes(self, name: str, places: NDArray[np.int64], pictures: Pictures, box: Box) -> None:
        if len(places):
            self._found.setdefault(name, []).append((places, codes(pictures, box)))


def grey(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) brightness of an RGB picture, with the weights of ITU-R BT.601 in steps of 1 / 256."""
    red, green, blue = (thumbnail[..., n].astype(np.uint16) for n in range(3))
    return ((red * 77 + green * 150 + blue * 29) >> 8).astype(np.uint8)


def _content_box(pictures: Pictures, active: NDArray[np.bool_] | None) -> Box:
    """The picture inside bars and borders that stay for the whole chunk."""
    box = layout.without_bars(pictures)
    if active is None:
        return box
    inner = inner_picture(_distinct(pictures[:: max(1, len(pictures) // INNER_TICKS)]), box)
    if inner is not None and is_border(active, inner):
        return inner
    inside = layout.without_static_border(layout.cut_out(active[None], box)[0])
    return box if inside is None else layout.within(box, inside)


def _without_bars(pictures: Pictures, box: Box) -> Box:
    """The part of a box without bars that stay in these pictures; a compilation has shots with bars and without."""
    if len(pictures) < 2:
        return box
    # a found edge may be a pixel off, and a line of something else would hide a bar
    slack = 0 if box == layout.full_box(pictures) else 1
    tight = Box(box.left + slack, box.top + slack, box.right - slack, box.bottom - slack)
    inside = layout.cut_out(pictures, tight)
    if min(inside.shape[1:]) < _MIN_SIDE:
        return box
    bare = layout.without_bars(inside)
    return box if bare == layout.full_box(inside) else layout.within(tight, bare)


def _regions(box: Box) -> dict[Region, Box]:
    """Boxes of the regions that each content has."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    found: dict[Region, Box] = {}
    for name, share in MIDDLE_SHARES.items():
        half_width, half_height = share * box.width / 2, share * box.height / 2
        found[name] = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    if box.width > box.height:
        half_width = STRIP_ASPECT * box.height / 2
        found["strip"] = Box(x - half_width, box.top, x + half_width, box.bottom)
    return found


def _without_overlay(pictures: Pictures, active: NDArray[np.bool_], box: Box) -> Pictures:
    """Replace overlays that never change by the mean of their surroundings."""
    mask = layout.overlay(active, box)
    if mask is None:
        return pictures
    kept = (~mask).astype(np.float32)
    height, width = kept.shape
    rows, columns = _blur(height), _blur(width)
    weight = np.maximum(rows @ kept @ columns, 1e-6)
    filled = pictures.copy()
    for n in range(0, len(pictures), 64):
        around = rows @ (pictures[n : n + 64] * kept) @ columns / weight
        filled[n : n + 64] = np.where(mask, np.clip(around, 0, 255), filled[n : n + 64]).astype(np.uint8)
    return filled


def _blur(length: int) -> NDArray[np.float32]:
    """(length, length) weights of a blur over about an eighth of the picture."""
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    return np.exp(-0.5 * (distance / (length / 16)) ** 2).astype(np.float32)


def _distinct(pictures: Pictures) -> Pictures:
    """Leave out pictures that equal the one before: a frame that stands long would count many times."""
    new = np.ones(len(pictures), np.bool_)
    new[1:] = (pictures[1:] != pictures[:-1]).any(axis=(1, 2))
    return pictures[new]
