"""Matching of stored views with known hashes.

A view within 31 bits of a known-bad hash is flagged under that hash's policy, unless a known-good hash is at least as
near. Videos match frame by frame. Matching reads the fingerprints that indexing stored: it opens no media file, and it
finds every pair within the distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.duplicates.hamming_pairs import GUARANTEED_DISTANCE, near_pairs
from firstsight.errors import SafetyError
from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints, as_array
from firstsight.records import Record
from firstsight.safety.hashes.hash_lists import KnownHash
from firstsight.safety.policy.decisions import Evidence
from firstsight.storage.store import Store
from firstsight.storage.tables import Part

BATCH = 131_072
"""Views to match at once: about 60 MB."""

_VIEW_COLUMNS = ["view_id", "item_id", "part", "uri", "time_s", "fingerprint"]


@dataclass(frozen=True)
class HashMatch(Record):
    """A view and the known hash that decides about it."""

    view_id: str
    item_id: str
    part: Part
    uri: str | None
    time_s: float | None  # second of a frame
    known: KnownHash
    distance: int  # bits, 0 to 31

    def evidence(self, max_distance: int = MAX_DISTANCE) -> Evidence:
        """Return the match as evidence for a decision; the score is the distance, the cut is `max_distance`."""
        return Evidence(
            policy_id=self.known.policy_id,
            view_id=self.view_id,
            part=self.part,
            uri=self.uri,
            time_s=self.time_s,
            score=float(self.distance),
            cut=float(max_distance),
            source="hash",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a line of JSON."""
        return {
            "item_id": self.item_id,
            "view_id": self.view_id,
            "part": self.part,
            "uri": self.uri,
            "time_s": self.time_s,
            "set": self.known.set,
            "policy": self.known.policy_id or None,
            "distance": self.distance,
            "hash": self.known.hex,
            "source": self.known.source,
            "tags": list(self.known.tags),
        }


@dataclass(frozen=True)
class KnownHashes:
    """The hash bank in memory: 32 bytes and an entry for each hash."""

    entries: Sequence[KnownHash]
    codes: Fingerprints  # (m, 32), a row for each entry

    @classmethod
    def of(cls, entries: Sequence[KnownHash]) -> KnownHashes:
        """Put entries into an array for searches."""
        return cls(entries, as_array([entry.fingerprint for entry in entries]))

    def nearest(self, codes: Fingerprints, max_distance: int = MAX_DISTANCE) -> list[tuple[int, KnownHash, int]]:
        """Find the known hash, if any, for each fingerprint.

        Args:
            codes: (n, 32) uint8 fingerprints.
            max_distance: bits, 0 to 31.

        Returns:
            `(row, entry, distance)` by row. A row has the nearest known-bad hash of each policy; if no bad hash is
            nearer than the nearest known-good hash, it has only that good hash.

        Raises:
            SafetyError: `max_distance` is out of range.
        """
        if not 0 <= max_distance <= GUARANTEED_DISTANCE:
            raise SafetyError(
                f"a distance of {max_distance} bits cannot be matched; choose one from 0 to {GUARANTEED_DISTANCE}"
            )
        if not len(codes) or not len(self.entries):
            return []
        pairs = near_pairs(codes, self.codes, max_distance=max_distance)
        order = np.lexsort((pairs.right, pairs.distance, pairs.left))
        matches: list[tuple[int, KnownHash, int]] = []
        row, policies, excused = -1, set[str](), False
        nearest_good = self._nearest_good(len(codes), pairs.left, pairs.right, pairs.distance)
        for left, right, distance in zip(
            pairs.left[order].tolist(), pairs.right[order].tolist(), pairs.distance[order].tolist(), strict=True
        ):
            if left != row:
                row, policies, excused = left, set(), False
            entry = self.entries[right]
            if excused or entry.policy_id in policies:
                continue
            if distance < nearest_good[left]:
                policies.add(entry.policy_id)
                matches.append((left, entry, distance))
            elif not policies and entry.set == "good":
                excused = True
                matches.append((left, entry, distance))
        return matches

    def _nearest_good(
        self, rows: int, left: NDArray[np.int64], right: NDArray[np.int64], distance: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        nearest = np.full(rows, 257, dtype=np.int64)
        good = np.array([entry.set == "good" for entry in self.entries])[right]
        np.minimum.at(nearest, left[good], distance[good])
        return nearest

    def match(self, views: pa.RecordBatch | pa.Table, max_distance: int = MAX_DISTANCE) -> list[HashMatch]:
        """Match rows of the table `views`.

        Args:
            views: rows with view_id, item_id, part, uri, time_s and fingerprint; rows without a fingerprint (titles,
                flat pictures) match nothing.
            max_distance: bits, 0 to 31.

        Raises:
            SafetyError: `max_distance` is out of range.
        """
        codes: list[bytes | None] = views["fingerprint"].to_pylist()
        rows = [n for n, code in enumerate(codes) if code is not None]
        matches = self.nearest(as_array([code for code in codes if code is not None]), max_distance)
        plain = {name: views[name] for name in _VIEW_COLUMNS if name != "fingerprint"}
        return [
            HashMatch(
                **{name: column[rows[row]].as_py() for name, column in plain.items()}, known=entry, distance=distance
            )
            for row, entry, distance in matches
        ]


def match_views(
    store: Store, known: KnownHashes, *, max_distance: int = MAX_DISTANCE, item_ids: Sequence[str] | None = None
) -> Iterator[HashMatch]:
    """Match stored views with known hashes, in batches; memory does not grow with the table.

    Args:
        store: the database.
        known: `HashBank.known()`.
        max_distance: bits, 0 to 31.
        item_ids: only the views of these items; None for all views.

    Raises:
        SafetyError: `max_distance` is out of range.
    """
    if "fingerprint" not in store.views.schema.names:  # a database of an earlier version, without writes since
        return
    if item_ids is not None:
        yield from known.match(store.view_rows(item_ids), max_distance)
        return
    search = store.views.search().where("fingerprint IS NOT NULL").select(_VIEW_COLUMNS).limit(None)
    for batch in search.to_batches(BATCH):
        yield from known.match(batch, max_distance)
