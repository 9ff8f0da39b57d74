"""Entries of the audit log: how each is written, hashed over the one before it, and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firstsight.errors import SafetyError

GENESIS = "0" * 64
"""The hash before the first entry."""

_SHORT = 16  # characters of a hash in an entry's id: 64 bits


@dataclass(frozen=True)
class AuditEntry:
    """One line of the log."""

    sequence: int  # 1 for the first
    time: str  # UTC, ISO 8601
    kind: str  # such as "decision", "override", "appeal", "training"
    subject: str  # what it is about: an item's id, a policy's
    record: Mapping[str, Any]  # plain JSON values
    previous: str  # hash of the entry before
    hash: str

    @property
    def entry_id(self) -> str:
        """Names it within the log, and pins everything up to it: its number and the first half of its hash."""
        return _entry_id(self.sequence, self.hash)


@dataclass(frozen=True)
class LogHead:
    """Where the log ends."""

    sequence: int  # of the last entry, 0 for an empty log
    hash: str  # of the last entry
    bytes: int  # length of the log

    @property
    def entry_id(self) -> str:
        """The last entry's id; worth keeping elsewhere, for `AuditLog.verify`."""
        return _entry_id(self.sequence, self.hash)


EMPTY_HEAD = LogHead(0, GENESIS, 0)
"""The head of a log without entries."""


@dataclass(frozen=True)
class Problem:
    """Something in the log that is not as it was written."""

    line: int  # of the log's file, from 1; 0 for its head
    what: str


@dataclass(frozen=True)
class Verification:
    """What a look at every entry has found."""

    entries: int  # that were read
    problems: tuple[Problem, ...]
    unsettled: int = 0  # whole entries that an append wrote before it was killed; the next append keeps them
    torn_bytes: int = 0  # of half an entry that it left; the next append drops them

    @property
    def ok(self) -> bool:
        """Whether nothing was edited, removed, reordered, added or cut off."""
        return not self.problems


def plain_content(kind: str, subject: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says, as it will be read again.

    Raises:
        SafetyError: it is not JSON, or names no kind or subject.
    """
    if not kind or not subject:
        raise SafetyError(f"an audit entry needs a kind and a subject, not {kind!r} and {subject!r}")
    try:  # there and back: what is hashed is what a reader will see, without tuples and keys that are numbers
        plain: dict[str, Any] = json.loads(canonical({"kind": kind, "subject": subject, "record": dict(record)}))
    except (TypeError, ValueError, RecursionError) as error:
        raise SafetyError(f"the {kind} of {subject!r} cannot be recorded as JSON: {error}; give plain values") from None
    return plain


def chained(content: Mapping[str, Any], sequence: int, time: str, previous: str) -> AuditEntry:
    """The entry that says something after the one with a hash."""
    hashed = {**content, "sequence": sequence, "time": time, "previous": previous}
    return AuditEntry(**hashed, hash=hashlib.sha256(canonical(hashed)).hexdigest())


def as_line(entry: AuditEntry) -> bytes:
    """An entry as it stands in the file."""
    return canonical(vars(entry)) + b"\n"


def parsed(line: bytes) -> AuditEntry | None:
    """An entry, or None where the line has not its fields; whether it is the one that was written is not looked at."""
    try:
        entry = AuditEntry(**json.loads(line))
    except (TypeError, ValueError, RecursionError):
        return None
    texts = (entry.time, entry.kind, entry.subject, entry.previous, entry.hash)
    if type(entry.sequence) is int and isinstance(entry.record, dict) and all(isinstance(text, str) for text in texts):
        return entry
    return None


def checked(line: bytes, before: LogHead) -> tuple[AuditEntry | None, list[str]]:
    """An entry, and what is wrong with it as the one that follows another."""
    entry = parsed(line)
    if entry is None:
        return None, [f"it is no entry of an audit log; entry {before.sequence + 1} should be here"]
    wrong = []
    said = {name: getattr(entry, name) for name in ("kind", "subject", "record")}
    try:
        edited = as_line(chained(said, entry.sequence, entry.time, entry.previous)) != line
    except ValueError:  # a lone surrogate, which no entry of ours has
        edited = True
    if edited:
        wrong.append(f"entry {entry.sequence} was edited: it does not have the hash that it states")
    if entry.sequence != before.sequence + 1:
        wrong.append(f"entry {entry.sequence} stands where entry {before.sequence + 1} should: removed or reordered")
    elif entry.previous != before.hash:
        wrong.append(f"entry {entry.sequence} does not follow the entry before it: that one was replaced")
    return entry, wrong


def follow(line: bytes, before: LogHead) -> LogHead | None:
    """The head after a line that follows an entry unchanged, else None; `checked` says what is wrong.

    Every byte counts, as in `checked`, but nothing is parsed: canonical JSON puts the hash first, so that what is
    hashed is the line without it. This takes a tenth of the time.
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


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no blanks, as UTF-8; a float is its shortest form that reads back the same."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _entry_id(sequence: int, hash_: str) -> str:
    return f"{sequence}-{hash_[:_SHORT]}"
