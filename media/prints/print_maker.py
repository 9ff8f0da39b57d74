"""Makes the fingerprints of a video from the thumbnails of its scan, a chunk of minutes at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.media.fingerprints import FINGERPRINT_BYTES, Fingerprints
from firstsight.media.frames.video_frames import TICKS_PER_S, ScannedFrame
from firstsight.media.prints import layout
from firstsight.media.prints.codes import Box, codes
from firstsight.media.prints.inner_picture import inner_picture
from firstsight.media.prints.layout import Pictures
from firstsight.media.video_prints import PRINTS_PER_S, REGION_PRINTS_PER_S, REGIONS, Region, VideoPrints

CHUNK_TICKS: Final = 600 * TICKS_PER_S
"""Ticks whose thumbnails are in memory together: 10 minutes, 17 MB."""

CENTRE_SHARE: Final = 0.7
"""Share of the width and height of the content that the region `centre` has."""

STRIP_ASPECT: Final = 9 / 16
"""Width of the region `strip` divided by its height."""

INNER_TICKS: Final = 30 * TICKS_PER_S
"""Ticks in which an inner picture must stay at its place to be found."""

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
        grey = np.asarray(Image.fromarray(frame.thumbnail).convert("L"))
        if self._ticks and (
            grey.shape != self._pictures[-1].shape or frame.tick // CHUNK_TICKS != self._ticks[-1] // CHUNK_TICKS
        ):
            self._finish_chunk()
        if starts_shot or not self._ticks:
            self._starts.append(len(self._ticks))
        self._ticks.append(frame.tick)
        self._pictures.append(grey)

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
        chunk_box = layout.without_bars(pictures)
        if (inside := layout.without_static_border(pictures)) is not None:
            chunk_box = layout.intersection(chunk_box, inside)
        pictures = _without_overlay(pictures, chunk_box)
        boxes = [_shot_box(pictures[a:b], chunk_box) for a, b in pairwise(bounds)]
        for (a, b), box in zip(pairwise(bounds), boxes, strict=True):
            self._add_codes("whole", ticks[a:b], pictures[a:b], box)
            at_region = np.flatnonzero(ticks[a:b] % _REGION_STEP == 0) + a
            for name, region in _regions(box).items():
                self._add_codes(name, ticks[at_region] // _REGION_STEP, pictures[at_region], region)
        for a in range(0, len(ticks), INNER_TICKS):
            part = slice(a, a + INNER_TICKS)
            inner = inner_picture(_distinct(pictures[part]), chunk_box)
            if inner is not None:
                at_region = np.flatnonzero(ticks[part] % _REGION_STEP == 0) + a
                self._add_codes("inner", ticks[at_region] // _REGION_STEP, pictures[at_region], inner)

    def _add_codes(self, name: str, places: NDArray[np.int64], pictures: Pictures, box: Box) -> None:
        if len(places):
            self._found.setdefault(name, []).append((places, codes(pictures, box)))


def _regions(box: Box) -> dict[Region, Box]:
    """Boxes of the regions that each content has."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    half_width, half_height = CENTRE_SHARE * box.width / 2, CENTRE_SHARE * box.height / 2
    found: dict[Region, Box] = {"centre": Box(x - half_width, y - half_height, x + half_width, y + half_height)}
    if box.width > box.height:
        half_width = STRIP_ASPECT * box.height / 2
        found["strip"] = Box(x - half_width, box.top, x + half_width, box.bottom)
    return found


def _shot_box(pictures: Pictures, chunk_box: Box) -> Box:
    """The content of a shot: a compilation may have shots with bars and without."""
    if len(pictures) < 2:
        return chunk_box
    return layout.intersection(layout.without_bars(pictures), chunk_box)


def _without_overlay(pictures: Pictures, box: Box) -> Pictures:
    """Replace overlays that never change by the mean of their surroundings."""
    active = layout.activity(pictures)
    mask = None if active is None else layout.overlay(active, box)
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
