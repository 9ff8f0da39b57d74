"""The hash bank: the table of PDQ hashes of known-bad and known-good pictures.

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

    def add(self, hashes: Sequence[KnownHash], log: AuditLog, *, by: str, wait_s: float = 0.0) -> int:
        """Add entries, or replace them if they exist. The change is logged first, so that the log explains each entry.

        Args:
            hashes: entries to add.
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
        if not entries:
            return 0
        with self._store.writing(wait_s):
            before = {entry.key for entry in self.hashes()}
            summary = {"action": "add", "by": by, **_summary(list(entries.values()))}
            BoundLog.open(self._store, log).append([(HASHES, HASH_BANK_SUBJECT, summary)])
            rows = [vars(entry) | {"key": key, "tags": list(entry.tags)} for key, entry in entries.items()]
            upsert(self._store, TABLE, SCHEMA, "key", rows)
        return len(entries.keys() - before)

    def remove(
        self, codes: Sequence[bytes], log: AuditLog, *, by: str, sources: Sequence[str] = (), wait_s: float = 0.0
    ) -> int:
        """Remove hashes from both sets and every policy.

        Args:
            codes: fingerprints to remove, 32 bytes each.
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
            table = open_side_table(self._store, TABLE)
            if not gone or table is None:
                return 0
            summary = {"action": "remove", "by": by, **_summary(gone)}
            BoundLog.open(self._store, log).append([(HASHES, HASH_BANK_SUBJECT, summary)])
            try:
                for keys in in_chunks([entry.key for entry in gone]):
                    table.delete(is_in("key", keys))
            except (OSError, RuntimeError) as error:
                raise unwritable(self._store, error) from error
        return len(gone)


def _summary(hashes: Sequence[KnownHash]) -> dict[str, Any]:
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
