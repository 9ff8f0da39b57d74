"""The hash bank: PDQ hashes of known-bad and known-good pictures, matched with every stored view before any model.

A view that is within 31 bits of a known-bad hash is flagged under that hash's policy, unless a known-good hash is at
least as near: a good list is how a false match is taken back for all its copies. Videos match frame by frame. Matching
reads the fingerprints that indexing stored: no medium is opened, and every pair within the distance is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.duplicates.hamming_pairs import GUARANTEED_DISTANCE, near_pairs
from firstsight.errors import SafetyError
from firstsight.media.fingerprints import MAX_DISTANCE, Fingerprints, as_array
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.hashes.hash_lists import HashSet, KnownHash
from firstsight.safety.policy.decisions import Evidence
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in, quote
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME, Part

TABLE = "safety_hashes"

BATCH = 131_072
"""Views matched at once: about 60 MB."""

_MAX_LISTED = 100  # hashes that an audit entry spells out

_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fingerprint", pa.binary(32), nullable=False),
    pa.field("set", pa.string(), nullable=False),  # bad, good
    pa.field("policy_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("tags", pa.list_(pa.string()), nullable=False),
    pa.field("quality", pa.int64()),
    pa.field("added_at", TIME, nullable=False),
]
SCHEMA = pa.schema(_FIELDS)
_VIEW_COLUMNS = ["view_id", "item_id", "part", "uri", "time_s", "fingerprint"]


@dataclass(frozen=True)
class HashMatch:
    """A view and the known hash that decides about it."""

    view_id: str
    item_id: str
    part: Part
    uri: str | None
    time_s: float | None  # second of a frame
    known: KnownHash
    distance: int  # bits, 0 to 31

    def evidence(self, max_distance: int = MAX_DISTANCE) -> Evidence:
        """As a reason for a decision."""
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

    def as_dict(self) -> dict[str, Any]:
        """As plain values for a line of JSON."""
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
    """The bank in memory: 32 bytes and an entry per hash."""

    entries: Sequence[KnownHash]
    codes: Fingerprints  # (m, 32), a row per entry

    @classmethod
    def of(cls, entries: Sequence[KnownHash]) -> KnownHashes:
        """Entries as an array that can be searched."""
        return cls(entries, as_array([one.fingerprint for one in entries]))

    def nearest(self, codes: Fingerprints, max_distance: int = MAX_DISTANCE) -> list[tuple[int, KnownHash, int]]:
        """Which of some fingerprints are known.

        Args:
            codes: (n, 32) uint8.
            max_distance: bits, 0 to 31.

        Returns:
            `(row, entry, distance)` by row: of each policy its nearest known-bad hash; or, where no bad hash is nearer
            than the nearest good one, that good one alone.

        Raises:
            SafetyError: the distance is beyond what is searched.
        """
        if not 0 <= max_distance <= GUARANTEED_DISTANCE:
            raise SafetyError(
                f"a distance of {max_distance} bits cannot be matched; choose one from 0 to {GUARANTEED_DISTANCE}"
            )
        if not len(codes) or not len(self.entries):
            return []
        pairs = near_pairs(codes, self.codes, max_distance=max_distance)
        order = np.lexsort((pairs.right, pairs.distance, pairs.left))
        found: list[tuple[int, KnownHash, int]] = []
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
                found.append((left, entry, distance))
            elif not policies and entry.set == "good":
                excused = True
                found.append((left, entry, distance))
        return found

    def _nearest_good(
        self, rows: int, left: NDArray[np.int64], right: NDArray[np.int64], distance: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        nearest = np.full(rows, 257, dtype=np.int64)
        good = np.array([one.set == "good" for one in self.entries])[right]
        np.minimum.at(nearest, left[good], distance[good])
        return nearest

    def match(self, views: pa.RecordBatch | pa.Table, max_distance: int = MAX_DISTANCE) -> list[HashMatch]:
        """The views that are known, of rows of `views` with ids, part, uri, time_s and fingerprint.

        Rows without a fingerprint (titles, flat pictures) match nothing.
        """
        codes: list[bytes | None] = views["fingerprint"].to_pylist()
        rows = [n for n, code in enumerate(codes) if code is not None]
        found = self.nearest(as_array([code for code in codes if code is not None]), max_distance)
        plain = {name: views[name] for name in _VIEW_COLUMNS if name != "fingerprint"}
        return [
            HashMatch(
                **{name: column[rows[row]].as_py() for name, column in plain.items()}, known=entry, distance=distance
            )
            for row, entry, distance in found
        ]


class HashBank:
    """The known hashes of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def hashes(self, *, of_set: HashSet | None = None, policy_id: str | None = None) -> list[KnownHash]:
        """The entries, ordered by set, policy and hash."""
        table = open_side_table(self._store, TABLE)
        if table is None:
            return []
        conditions = [f"`set` = {quote(of_set)}"] if of_set else []
        conditions += [f"policy_id = {quote(policy_id)}"] if policy_id is not None else []
        search = table.search()
        rows = (search.where(" AND ".join(conditions)) if conditions else search).limit(None).to_arrow().sort_by("key")
        return [KnownHash(**{**row, "tags": tuple(row["tags"])}) for row in rows.drop_columns(["key"]).to_pylist()]

    def known(self) -> KnownHashes:
        """The bank as it is now, to match with."""
        return KnownHashes.of(self.hashes())

    def add(self, hashes: Sequence[KnownHash], log: AuditLog, *, by: str, wait_s: float = 0.0) -> int:
        """Add entries; those that are there already are replaced. Logged first, so that no entry is unexplained.

        Args:
            by: who adds them, for the audit log.
            wait_s: seconds to wait for another process that is writing.

        Returns:
            How many were not there before.

        Raises:
            DatabaseBusyError, StoreError, SafetyError: see their own words.
        """
        now = datetime.now(UTC)
        once = {one.key: replace(one, added_at=now) for one in hashes}
        if not once:
            return 0
        with self._store.writing(wait_s):
            before = {one.key for one in self.hashes()}
            summary = {"action": "add", "by": by, **_summary(list(once.values()))}
            BoundLog.open(self._store, log).append([("hashes", "hash-bank", summary)])
            rows = [vars(one) | {"key": key, "tags": list(one.tags)} for key, one in once.items()]
            upsert(self._store, TABLE, SCHEMA, "key", rows)
        return len(once.keys() - before)

    def remove(
        self, codes: Sequence[bytes], log: AuditLog, *, by: str, sources: Sequence[str] = (), wait_s: float = 0.0
    ) -> int:
        """Remove hashes, and all of some sources, from both sets and every policy; errors as `add`.

        Returns:
            How many entries went.
        """
        wanted, from_ = set(codes), set(sources)
        with self._store.writing(wait_s):
            gone = [one for one in self.hashes() if one.fingerprint in wanted or one.source in from_]
            table = open_side_table(self._store, TABLE)
            if not gone or table is None:
                return 0
            summary = {"action": "remove", "by": by, **_summary(gone)}
            BoundLog.open(self._store, log).append([("hashes", "hash-bank", summary)])
            try:
                for keys in in_chunks([one.key for one in gone]):
                    table.delete(is_in("key", keys))
            except (OSError, RuntimeError) as error:
                raise unwritable(self._store, error) from error
        return len(gone)


def match_views(
    store: Store, known: KnownHashes, *, max_distance: int = MAX_DISTANCE, item_ids: Sequence[str] | None = None
) -> Iterator[HashMatch]:
    """Every stored view that is known, read in batches; memory does not grow with the table.

    Args:
        known: `HashBank.known()`.
        max_distance: bits, 0 to 31.
        item_ids: only the views of these items.

    Raises:
        SafetyError: the distance is beyond what is searched.
    """
    if "fingerprint" not in store.views.schema.names:  # of an earlier version, not written to since
        return
    if item_ids is not None:
        yield from known.match(store.view_rows(item_ids), max_distance)
        return
    search = store.views.search().where("fingerprint IS NOT NULL").select(_VIEW_COLUMNS).limit(None)
    for batch in search.to_batches(BATCH):
        yield from known.match(batch, max_distance)


def _summary(hashes: Sequence[KnownHash]) -> dict[str, Any]:
    """What the log keeps of a change: the hashes themselves where they are few, and a digest of them all."""
    keys = sorted(one.key for one in hashes)
    return {
        "entries": len(keys),
        "sets": sorted({one.set for one in hashes}),
        "policies": sorted({one.policy_id for one in hashes}),
        "sources": sorted({one.source for one in hashes})[:_MAX_LISTED],
        "sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "first": keys[:_MAX_LISTED],
    }
