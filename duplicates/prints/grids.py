"""Distances between the codes of two videos, for one pair of channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.prints.channels import CHANNEL_PAIRS, Channel, Track
from firstsight.media.fingerprints import Fingerprints, distances, orient

MAX_DISTANCE: Final = 84
"""Maximum bits between two codes of a match that stands out from the codes of other moments."""

MIN_CONTRAST: Final = 24
"""Minimum bits by which the codes of such a match are nearer than those of other moments."""

STILL_DISTANCE: Final = 20
"""Maximum bits of a match that does not stand out, such as of two videos of one still picture."""

LINE_DISTANCE: Final = 100
"""Maximum bits between two codes of a match on a line that is tested as a whole."""

_VOTE_SHARE, _LINE_SHARE = 0.2, 0.08  # minimum contrast, as a share of the bits to other moments, if these are few
_STILL_VIDEO: Final = 6  # median bits between moments of a video that shows one still picture
_STILL_CONTRAST: Final = 0.6  # else a near match has at most this share of the bits between other moments
_SPREADS: Final = (4.0, 9.0)  # limits of a standard deviation; that of unrelated pictures is about 8
_SAMPLE: Final = 256  # codes that tell how far the moments of two videos usually differ
_MAX_CELLS: Final = 1 << 22  # pairs of codes that may vote; of longer videos, evenly chosen codes vote


@dataclass(frozen=True)
class Grid:
    """The codes of one channel of a query and of one channel of a stored video."""

    channels: tuple[Channel, Channel]
    mirrored: bool
    query: Track  # its codes are those of the mirrored picture if `mirrored`
    stored: Track
    query_usual: NDArray[np.float32]  # (n,) bits to unrelated moments of the stored video
    stored_usual: NDArray[np.float32]  # (m,)
    spread: float  # standard deviation of those bits
    still: bool  # both videos show one still picture
    own_distance: float  # median bits between moments of the query

    def bits(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Distances of pairs of codes; NaN where one of them is missing."""
        found = distances(self.query.codes[rows], self.stored.codes[columns]).astype(np.float32)
        found[~(self.query.has_code[rows] & self.stored.has_code[columns])] = np.nan
        return found

    def usual(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Bits to be expected for pairs of codes if their moments are unrelated."""
        return np.asarray(np.fmin(self.query_usual[rows], self.stored_usual[columns]))

    def match(
        self, bits: NDArray[np.float32], usual: NDArray[np.float32], *, on_line: bool = False
    ) -> NDArray[np.bool_]:
        """Whether pairs of codes are near, and nearer than those of unrelated moments.

        Args:
            on_line: the pairs lie on one line and are judged together, so each may be weaker.
        """
        limit, share = (LINE_DISTANCE, _LINE_SHARE) if on_line else (MAX_DISTANCE, _VOTE_SHARE)
        with np.errstate(invalid="ignore"):
            near = (bits <= limit) & (usual - bits >= np.clip(share * usual, 2, MIN_CONTRAST))
            near |= (bits <= STILL_DISTANCE) & (self.still | (bits <= _STILL_CONTRAST * usual))
        return np.asarray(near)

    def matches(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Rows and columns of the codes that match, and by how many bits they are nearer than usual."""
        step = max(1, len(self.query.codes) * len(self.stored.codes) // _MAX_CELLS)
        probes = np.flatnonzero(self.query.has_code)[::step]
        bits = distances(self.query.codes[probes, None], self.stored.codes).astype(np.float32)
        bits[:, ~self.stored.has_code] = np.nan
        usual = np.fmin(self.query_usual[probes, None], self.stored_usual)
        i, j = np.nonzero(self.match(bits, usual))
        return probes[i], j, usual[i, j] - bits[i, j]


def grids(query: dict[Channel, Track], stored: dict[Channel, Track]) -> Iterator[Grid]:
    """All pairs of channels of two videos, plain and mirrored."""
    plain = {name: (track, _own_distance(track)) for name, track in query.items()}
    others = {name: (track, _own_distance(track)) for name, track in stored.items()}
    turned = {name: Track(orient(t.codes, "mirror"), t.rate, t.has_code) for name, (t, _) in plain.items()}
    for left, right in CHANNEL_PAIRS:
        if left in plain and right in others:
            yield _grid((left, right), False, plain[left], others[right])
            yield _grid((left, right), True, (turned[left], plain[left][1]), others[right])


def _grid(
    channels: tuple[Channel, Channel], mirrored: bool, query: tuple[Track, float], stored: tuple[Track, float]
) -> Grid:
    (a, a_own), (b, b_own) = query, stored
    rows, row_deviation = _usual(a, b)
    columns, _ = _usual(b, a)
    still = max(a_own, b_own) <= _STILL_VIDEO
    spread = float(np.clip(1.48 * row_deviation, *_SPREADS))
    return Grid(channels, mirrored, a, b, rows, columns, spread, still, a_own)


def _usual(track: Track, other: Track) -> tuple[NDArray[np.float32], float]:
    """The median distance of each code to codes of the other track, and the median deviation from it."""
    there = np.flatnonzero(other.has_code)
    sample = there[np.unique(np.linspace(0, len(there) - 1, _SAMPLE).astype(np.int64))]
    bits = distances(track.codes[:, None], other.codes[sample]).astype(np.float32)
    medians = np.median(bits, axis=1).astype(np.float32)
    return medians, float(np.median(np.abs(bits[track.has_code] - medians[track.has_code, None])))


def _own_distance(track: Track) -> float:
    """Median distance of codes half a video apart."""
    codes: Fingerprints = track.codes[track.has_code]
    return float(np.median(distances(codes, np.roll(codes, len(codes) // 2, axis=0))))
