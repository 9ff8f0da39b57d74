"""The stored fingerprints of videos, and pairs of videos that share a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.duplicates.prints.candidates import candidate_pairs
from firstsight.duplicates.prints.print_alignment import PrintAlignment, align_prints, whole_alignment
from firstsight.errors import StoreError
from firstsight.media.sound_prints import agreement
from firstsight.media.video_prints import VideoPrints
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import read_prints

MAX_COPIES: Final = 32
"""Videos with the same file that are paired with each other. Further ones are paired only with these."""


@dataclass(frozen=True)
class StoredPrints:
    """Fingerprints of videos, one row per video of an item."""

    item_ids: Sequence[str]  # n
    uris: Sequence[str]  # n, as in the catalogue
    digests: Sequence[bytes]  # n, SHA-256 of the file
    prints: Sequence[VideoPrints]  # n

    def __len__(self) -> int:
        return len(self.item_ids)

    @classmethod
    def read(cls, store: Store, item_ids: Sequence[str] | None = None) -> StoredPrints:
        """Read the fingerprints of these items, or of all items: 10 kB per minute of video in memory."""
        return cls.of(read_prints(store, item_ids))

    @classmethod
    def of(cls, rows: pa.Table) -> StoredPrints:
        """Read rows of the table `video_prints`."""
        plain = rows.to_pylist()
        return cls(
            item_ids=[row["item_id"] for row in plain],
            uris=[row["uri"] for row in plain],
            digests=[row["digest"] for row in plain],
            prints=[video_prints(row) for row in plain],
        )

    @property
    def videos(self) -> set[tuple[str, str]]:
        """The item id and the uri of each video."""
        return set(zip(self.item_ids, self.uris, strict=True))


def video_prints(row: Mapping[str, Any]) -> VideoPrints:
    """The fingerprints in a row of a table that keeps them packed.

    Raises:
        StoreError: they are damaged.
    """
    try:
        return VideoPrints.unpack(row["duration_s"], row)
    except ValueError as error:
        name = row.get("item_id") or row.get("source")
        raise StoreError(f"the fingerprints of {name} are damaged: {error}; index or add the video again") from None


class Groups:
    """Groups of numbers that chains of pairs connect."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def root(self, number: int) -> int:
        """The lowest number of the group; the number itself if nothing is connected with it."""
        while (parent := self._parents.get(number, number)) != number:
            number = parent
        return number

    def join(self, first: int, second: int) -> None:
        """Connect two numbers."""
        a, b = self.root(first), self.root(second)
        self._parents[max(a, b)] = min(a, b)


@dataclass(frozen=True)
class VideoPair:
    """Two videos of different items that share a part."""

    left: int  # number of the video in `StoredPrints`; the query of the alignment
    right: int
    alignment: PrintAlignment
    identical: bool  # both are the same file

    @property
    def share(self) -> float:
        """0 to 1: the larger of both videos' shares."""
        return max(self.alignment.share, self.alignment.stored_share)


def find_video_pairs(
    stored: StoredPrints, *, min_share: float, probes: NDArray[np.bool_] | None = None, chained: bool = False
) -> Iterator[VideoPair]:
    """Yield pairs of videos of different items that share at least a part of one of them.

    Args:
        min_share: 0 to 1; minimum share of one of the videos.
        probes: (n,) mask of videos; every pair contains one of them. None for all pairs.
        chained: leave out pairs of files that a chain of other pairs connects already.
    """
    files: dict[bytes, list[int]] = {}
    for number, digest in enumerate(stored.digests):
        files.setdefault(digest, []).append(number)
    for copies in files.values():
        for left, right in _pairs_of(copies, copies):
            if left < right and _fits(stored, left, right, probes):
                yield VideoPair(left, right, whole_alignment(stored.prints[left]), identical=True)
    first = [copies[0] for copies in files.values()]  # one video of each file
    groups = Groups()
    chosen = None if probes is None else np.array([bool(probes[copies].any()) for copies in files.values()], dtype=bool)
    for a, b in candidate_pairs([stored.prints[n] for n in first], probes=chosen):
        copies, others = files[stored.digests[first[a]]], files[stored.digests[first[b]]]
        if chained and groups.root(a) == groups.root(b):
            continue
        found = align_prints(stored.prints[first[a]], stored.prints[first[b]])
        if found is None or max(found.share, found.stored_share) < min_share:
            continue
        groups.join(a, b)
        for left, right in _pairs_of(copies, others):
            if _fits(stored, left, right, probes):
                yield VideoPair(left, right, found, identical=False)


def sound_agreement(left: VideoPrints, right: VideoPrints, alignment: PrintAlignment) -> float | None:
    """Share of equal bits of two sound tracks, 0 to 1, see `agreement`; None if one has too little sound."""
    if left.sound is None or right.sound is None:
        return None
    return agreement(left.sound, right.sound, offset_s=alignment.offset_s, speed=alignment.speed)


def _pairs_of(copies: Sequence[int], others: Sequence[int]) -> Iterator[tuple[int, int]]:
    """All pairs of the first copies, and each further one with these."""
    for n, left in enumerate(copies):
        yield from ((left, right) for right in (others if n < MAX_COPIES else others[:MAX_COPIES]))


def _fits(stored: StoredPrints, left: int, right: int, probes: NDArray[np.bool_] | None) -> bool:
    return stored.item_ids[left] != stored.item_ids[right] and (probes is None or bool(probes[left] or probes[right]))
