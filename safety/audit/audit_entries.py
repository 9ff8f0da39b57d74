"""Entries of the audit log: their form, their hash chain, and their checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from firstsight.errors import SafetyError
from firstsight.records import Record

GENESIS = "0" * 64
"""The previous hash of the first entry."""

_SHORT = 16  # hash characters in an entry's id: 64 bits

_STEP = 65_536  # bytes to read back at a time, to find the start of an entry


@dataclass(frozen=True)
class AuditEntry:
    """One line of the log."""

    sequence: int  # 1 for the first
    time: str  # UTC, ISO 8601
    kind: str  # one of `entry_kinds`
    subject: str  # id of the item or policy
    record: Mapping[str, Any]  # plain JSON values
    previous: str  # hash of the entry before
    hash: str

    @property
    def entry_id(self) -> str:
        """Id within the log: the number and the start of the hash, which fixes this entry and all before it."""
        return _entry_id(self.sequence, self.hash)


@dataclass(frozen=True)
class LogHead:
    """End of the log."""

    sequence: int  # of the last entry, 0 for an empty log
    hash: str  # of the last entry
    bytes: int  # length of the log

    @property
    def entry_id(self) -> str:
        """Id of the last entry; keep it elsewhere, for `AuditLog.verify`."""
        return _entry_id(self.sequence, self.hash)


EMPTY_HEAD = LogHead(0, GENESIS, 0)
"""The head of a log without entries."""


@dataclass(frozen=True)
class LogProblem(Record):
    """A place where the log differs from the log as written."""

    line: int  # of the log's file, from 1; 0 for its head
    what: str


@dataclass(frozen=True)
class Verification(Record):
    """Result of a check of every entry."""

    entries: int  # entries read
    problems: tuple[LogProblem, ...]
    unsettled: int = 0  # whole entries of a killed append; the next append keeps them
    torn_bytes: int = 0  # bytes of its half-written entry; the next append drops them
    head: str | None = None  # id of the last entry, to keep elsewhere; None if there are problems or no log

    @property
    def ok(self) -> bool:
        """Whether no entry was edited, removed, reordered, added or cut off."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and `ok` as plain values."""
        return {"ok": self.ok} | super().to_dict()


def entry_content(kind: str, subject: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of an entry as a reader will see it, in plain JSON values.

    Raises:
        SafetyError: the record is not JSON, or the kind or subject is empty.
    """
    if not kind or not subject:
        raise SafetyError(f"an audit entry needs a kind and a subject, not {kind!r} and {subject!r}")
    try:  # encode and decode: the hash covers the values that a reader sees, without tuples and number keys
        plain: dict[str, Any] = json.loads(canonical({"kind": kind, "subject": subject, "record": dict(record)}))
    except (TypeError, ValueError, RecursionError) as error:
        raise SafetyError(f"the {kind} of {subject!r} cannot be recorded as JSON: {error}; give plain values") from None
    return plain


def make_entry(content: Mapping[str, Any], sequence: int, time: str, previous: str) -> AuditEntry:
    """Return the entry with this content that follows the entry with the hash `previous`."""
    hashed = {**content, "sequence": sequence, "time": time, "previous": previous}
    return AuditEntry(**hashed, hash=hashlib.sha256(canonical(hashed)).hexdigest())


def entry_line(entry: AuditEntry) -> bytes:
    """Return an entry as a line of the log's file."""
    return canonical(vars(entry)) + b"\n"


def parse_entry(line: bytes) -> AuditEntry | None:
    """Parse a line; None if the line lacks an entry's fields. The hash is not checked."""
    try:
        entry = AuditEntry(**json.loads(line))
    except (TypeError, ValueError, RecursionError):
        return None
    texts = (entry.time, entry.kind, entry.subject, entry.previous, entry.hash)
    if type(entry.sequence) is int and isinstance(entry.record, dict) and all(isinstance(text, str) for text in texts):
        return entry
    return None


def check_entry(line: bytes, before: LogHead) -> tuple[AuditEntry | None, list[str]]:
    """Parse a line, and check it as the entry after `before`.

    Returns:
        The entry, None if the line is no entry; and a message for each problem.
    """
    entry = parse_entry(line)
    if entry is None:
        return None, [f"it is no entry of an audit log; entry {before.sequence + 1} should be here"]
    problems = []
    content = {name: getattr(entry, name) for name in ("kind", "subject", "record")}
    try:
        edited = entry_line(make_entry(content, entry.sequence, entry.time, entry.previous)) != line
    except ValueError:  # a lone surrogate, which `entry_content` never lets through
        edited = True
    if edited:
        problems.append(f"entry {entry.sequence} was edited: its content does not match its hash")
    if entry.sequence != before.sequence + 1:
        problems.append(f"entry {entry.sequence} is in the place of entry {before.sequence + 1}: removed or reordered")
    elif entry.previous != before.hash:
        problems.append(f"entry {entry.sequence} does not follow the entry before it: that one was replaced")
    return entry, problems


def next_head(line: bytes, before: LogHead) -> LogHead | None:
    """Return the head after an unchanged line that follows `before`, else None; `check_entry` tells what is wrong.

    Every byte counts, as in `check_entry`, but nothing is parsed. Canonical JSON puts the hash first, so the hashed
    bytes are the line without it. This takes a tenth of the time.
    """
    if line[:9] != b'{"hash":"' or line[73:75] != b'",' or line[-2:] != b"}\n":
        return None
    digest = hashlib.sha256(b"{" + line[75:-1]).hexdigest()
    previous = line.find(b',"previous":"') + len(b',"previous":"')  # quotes inside texts are escaped
    sequence = line.rfind(b',"sequence":') + len(b',"sequence":')
    if (
        digest.encode() == line[9:73]
        and line[previous : previous + 64] == before.hash.encode()
        and line.startswith(b"%d," % (before.sequence + 1), sequence)
    ):
        return LogHead(before.sequence + 1, digest, before.bytes + len(line))
    return None


def has_entry_at(file: BinaryIO, head: LogHead) -> bool:
    """Whether the line that ends at a head's place is the head's entry, unchanged."""
    start, line = head.bytes, b""
    while start and line.count(b"\n") < 2:  # the end of the line, and the end of the line before
        start = max(0, start - _STEP)
        file.seek(start)
        line = file.read(head.bytes - start)
    line = line[line.rfind(b"\n", 0, -1) + 1 :]
    previous = line.find(b',"previous":"') + len(b',"previous":"')
    before = LogHead(head.sequence - 1, line[previous : previous + 64].decode(errors="replace"), head.bytes - len(line))
    return next_head(line, before) == head


def canonical(value: object) -> bytes:
    """Encode as JSON with sorted keys and no blanks, in UTF-8; a float gets its shortest form that reads back equal."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _entry_id(sequence: int, hash_: str) -> str:
    return f"{sequence}-{hash_[:_SHORT]}"
