"""The hash bank: the tables of PDQ hashes of known-bad and known-good pictures, and of known videos.

A known-good hash corrects a false match for all copies of a picture: it cancels known-bad hashes that are not nearer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.audit.entry_kinds import HASH_BANK_SUBJECT, HASHES
from firstsight.safety.hashes.hash_lists import HashSet, KnownHash
from firstsight.safety.hashes.hash_matching import KnownHashes
from firstsight.safety.hashes.known_videos import SCHEMA as VIDEO_SCHEMA
from firstsight.safety.hashes.known_videos import TABLE as VIDEO_TABLE
from firstsight.safety.hashes.known_videos import KnownVideo, PrintedVideo, read_known_videos, video_row
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import in_chunks, is_in, quote
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "safety_hashes"

_MAX_LISTED = 100  # maximum number of hashes and of sources in an audit entry

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


class HashBank:
    """The known hashes of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def hashes(self, *, of_set: HashSet | None = None, policy_id: str | None = None) -> list[KnownHash]:
        """Read the entries, ordered by set, policy and hash.

        Args:
            of_set: only of this set.
            policy_id: only of this policy.
        """
        table = open_side_table(self._store, TABLE)
        if table is None:
            return []
        conditions = [f"`set` = {quote(of_set)}"] if of_set else []
        conditions += [f"policy_id = {quote(policy_id)}"] if policy_id is not None else []
        search = table.search()
        rows = (search.where(" AND ".join(conditions)) if conditions else search).limit(None).to_arrow().sort_by("key")
        return [KnownHash(**{**row, "tags": tuple(row["tags"])}) for row in rows.drop_columns(["key"]).to_pylist()]

    def known(self) -> KnownHashes:
        """Read the whole bank into memory, for matching."""
        return KnownHashes.of(self.hashes())

    def videos(self, *, of_set: HashSet | None = None, policy_id: str | None = None) -> list[PrintedVideo]:
        """Read the known videos, ordered by set, policy and digest; arguments as for `hashes`."""
        return read_known_videos(self._store, of_set=of_set, policy_id=policy_id)

    def add(
        self,
        hashes: Sequence[KnownHash],
        log: AuditLog,
        *,
        by: str,
        videos: Sequence[PrintedVideo] = (),
        wait_s: float = 0.0,
    ) -> int:
        """Add entries, or replace them if they exist. The change is logged first, so that the log explains each entry.

        Args:
            hashes: entries to add.
            videos: known videos to add.
            log: the audit log of the database.
            by: name of the person who adds them, for the audit log.
            wait_s: maximum wait in seconds for another process that is writing.

        Returns:
            Number of new entries.

        Raises:
            AuditLogError: the log cannot be written, or belongs to another database; nothing has changed.
            DatabaseBusyError: another process is writing for longer than `wait_s`.
            StoreError: the database cannot be written.
        """
        now = datetime.now(UTC)
        entries = {entry.key: replace(entry, added_at=now) for entry in hashes}
        clips = {video.known.key: replace(video, known=replace(video.known, added_at=now)) for video in videos}
        if not entries and not clips:
            return 0
        with self._store.writing(wait_s):
            before = {entry.key for entry in self.hashes()} | {video.known.key for video in self.videos()}
            summary = {
                "action": "add",
                "by": by,
                **_summary([*entries.values(), *(video.known for video in clips.values())]),
            }
            BoundLog.open(self._store, log).append([(HASHES, HASH_BANK_SUBJECT, summary)])
            rows = [vars(entry) | {"key": key, "tags": list(entry.tags)} for key, entry in entries.items()]
            upsert(self._store, TABLE, SCHEMA, "key", rows)
            if clips:
                upsert(self._store, VIDEO_TABLE, VIDEO_SCHEMA, "key", [video_row(video) for video in clips.values()])
        return len((entries.keys() | clips.keys()) - before)

    def remove(
        self, codes: Sequence[bytes], log: AuditLog, *, by: str, sources: Sequence[str] = (), wait_s: float = 0.0
    ) -> int:
        """Remove hashes and videos from both sets and every policy.

        Args:
            codes: fingerprints of pictures and digests of videos to remove, 32 bytes each.
            log: the audit log of the database.
            by: name of the person who removes them, for the audit log.
            sources: remove all entries from these sources, too.
            wait_s: maximum wait in seconds for another process that is writing.

        Returns:
            Number of removed entries.

        Raises:
            AuditLogError, DatabaseBusyError, StoreError: as for `add`.
        """
        removed_codes, removed_sources = set(codes), set(sources)
        with self._store.writing(wait_s):
            gone = [
                entry
                for entry in self.hashes()
                if entry.fingerprint in removed_codes or entry.source in removed_sources
            ]
            known = [video.known for video in self.videos()]
            clips = [video for video in known if video.digest in removed_codes or video.source in removed_sources]
            if not gone and not clips:
                return 0
            summary = {"action": "remove", "by": by, **_summary([*gone, *clips])}
            BoundLog.open(self._store, log).append([(HASHES, HASH_BANK_SUBJECT, summary)])
            self._delete(TABLE, [entry.key for entry in gone])
            self._delete(VIDEO_TABLE, [video.key for video in clips])
        return len(gone) + len(clips)

    def _delete(self, name: str, keys: Sequence[str]) -> None:
        table = open_side_table(self._store, name) if keys else None
        if table is None:
            return
        try:
            for part in in_chunks(keys):
                table.delete(is_in("key", part))
        except (OSError, RuntimeError) as error:
            raise unwritable(self._store, error) from error


def _summary(hashes: Sequence[KnownHash | KnownVideo]) -> dict[str, Any]:
    """Return the log's record of a change: the first hashes, and a digest of all."""
    keys = sorted(entry.key for entry in hashes)
    return {
        "entries": len(keys),
        "sets": sorted({entry.set for entry in hashes}),
        "policies": sorted({entry.policy_id for entry in hashes}),
        "sources": sorted({entry.source for entry in hashes})[:_MAX_LISTED],
        "sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "first": keys[:_MAX_LISTED],
    }
