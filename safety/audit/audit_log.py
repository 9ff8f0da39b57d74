"""The audit log: every decision, override, appeal and training run, in entries that chain by SHA-256.

The log is a file of JSON lines next to the database's tables, not a table. An append is one write and one fsync,
however long the log is; a table would need a new version and a file for each append, and compaction would rewrite the
past. A hash covers every byte of the file; a table's files have bytes that no reader checks. An auditor can check the
log with twenty lines of any language.

Each entry's hash covers the canonical JSON (keys sorted, no blanks, UTF-8) of all its other fields, including the hash
of the entry before. A head file next to the log records its end, so that entries missing from the end are noticed. The
log reveals accidental changes, and changes by people who do not rewrite both files: it holds no secret. To defend it
against administrators of the machine, keep `head().entry_id` elsewhere and pass it to `verify`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from firstsight.errors import AuditLogError, SafetyError
from firstsight.safety.audit.audit_entries import (
    EMPTY_HEAD,
    AuditEntry,
    LogHead,
    LogProblem,
    Verification,
    canonical,
    check_entry,
    entry_content,
    entry_line,
    has_entry_at,
    make_entry,
    next_head,
    parse_entry,
)

LOG_FILE = "safety-log.jsonl"
HEAD_FILE = "safety-log.head.json"
LOG_VARIABLE = "FIRSTSIGHT_SAFETY_LOG"
"""Environment variable with the path of the log; required for a database in an object store."""

WAIT_S = 60.0
"""Maximum wait in seconds for another process that is appending; an append takes milliseconds."""


class AuditLog:
    """Append-only log in one file. Several processes may append; readers never wait."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Use the log at a path; the first append creates it."""
        self.path = Path(path)
        self._head = self.path.with_name(HEAD_FILE if self.path.name == LOG_FILE else f"{self.path.name}.head.json")

    @classmethod
    def of(cls, uri: str) -> AuditLog:
        """Return the log of a database: `$FIRSTSIGHT_SAFETY_LOG`, else a file in the database's folder.

        Args:
            uri: path or address of the database.

        Raises:
            SafetyError: the database is in an object store, which cannot append to files, and the variable is not set.
        """
        if named := os.environ.get(LOG_VARIABLE):
            return cls(named)
        if "://" in uri:
            raise SafetyError(
                f"{uri} is in an object store, which cannot hold the audit log; name one file for everyone, on a "
                f"disk with backups: export {LOG_VARIABLE}=/path/safety-log.jsonl"
            )
        return cls(Path(uri) / LOG_FILE)

    def append(self, kind: str, subject: str, record: Mapping[str, Any]) -> str:
        """Add one entry; it is on the disk when this returns.

        Args:
            kind: one of `entry_kinds`.
            subject: id of the item or policy.
            record: plain JSON values: the reasons, and the inputs to repeat the decision.

        Returns:
            The entry's id.

        Raises:
            SafetyError: the record is not JSON.
            AuditLogError: the log cannot be written, or is shorter than its head says.
        """
        return self.append_many([(kind, subject, record)])[0]

    def append_many(self, entries: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
        """Add entries of `(kind, subject, record)` in order, at the cost of one append.

        A kill leaves the first entries whole, possibly none.

        Returns:
            The entries' ids.

        Raises:
            SafetyError: a record is not JSON; nothing was written.
            AuditLogError: the log cannot be written, or is shorter than its head says.
        """
        contents = [entry_content(kind, subject, record) for kind, subject, record in entries]
        if not contents:
            return []
        with self._appending() as file:
            start = head = self._recover_end(file)
            time, entries_made = datetime.now(UTC).isoformat(timespec="microseconds"), []
            lines = bytearray()
            for content in contents:
                entries_made.append(make_entry(content, head.sequence + 1, time, head.hash))
                lines += entry_line(entries_made[-1])
                head = LogHead(head.sequence + 1, entries_made[-1].hash, start.bytes + len(lines))
            try:
                _write(file, lines)
                self._write_head(head)
            except OSError:  # a full disk: remove the entries, because the caller gets an error
                with contextlib.suppress(OSError):
                    file.truncate(start.bytes)
                raise
            return [entry.entry_id for entry in entries_made]

    def check_writable(self) -> None:
        """Check that an entry can be added now; create an empty log if there is none.

        Raises:
            AuditLogError: the log cannot be written, or is shorter than its head says.
        """
        with self._appending() as file:
            self._recover_end(file)

    @contextlib.contextmanager
    def _appending(self) -> Iterator[RawIOBase]:
        try:
            with self._locked() as file:
                yield file
        except OSError as error:
            raise AuditLogError(
                f"the audit log {self.path} cannot be written ({error.strerror or error}), so nothing was recorded; "
                "check the disk space and the access rights, then try again"
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[RawIOBase]:
        if self.path.exists():
            self._open().close()
        locked = self.path.with_name(f".{self.path.name}.lock")
        locked.parent.mkdir(parents=True, exist_ok=True)
        locked.touch()  # FileLock would wait in vain in a folder that takes no files, such as /proc/self
        lock = FileLock(locked, timeout=WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise AuditLogError(
                f"another process has locked the audit log {self.path} for {WAIT_S:.0f} s; wait for it or stop it"
            ) from None
        try:
            if self.head() is None and not self.path.exists():
                self._write_head(EMPTY_HEAD)  # before the first entry: so a kill never leaves a log without a head
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
                yield file
        finally:
            lock.release()

    def _recover_end(self, file: RawIOBase) -> LogHead:
        """Return the end of the log: keep whole entries of a killed append, and drop its half-written entry."""
        head = self.head()
        size = file.seek(0, os.SEEK_END)
        if head is None or size < head.bytes:
            raise AuditLogError(
                f"the audit log {self.path} has lost its end or its head, so no entry was added; run firstsight "
                "safety audit, and restore both files from a copy"
            )
        file.seek(head.bytes)
        for line in (file.read() or b"").splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            entry, problems = check_entry(line, head)
            if entry is None or problems:
                raise AuditLogError(
                    f"the audit log {self.path} has been written to by something else after entry {head.sequence} "
                    f"({problems[0]}), so no entry was added; run firstsight safety audit"
                )
            head = LogHead(entry.sequence, entry.hash, head.bytes + len(line))
        file.truncate(head.bytes)
        file.seek(head.bytes)
        return head

    def _write_head(self, head: LogHead) -> None:
        """Replace the head, whole or not at all."""
        new = self._head.with_name(f".{self._head.name}.new")
        with new.open("wb", buffering=0) as file:
            _write(file, canonical(asdict(head)) + b"\n")
        new.replace(self._head)
        if os.name == "posix":  # so that the file names survive a power cut
            folder = os.open(self._head.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def entries(self, *, subject: str | None = None, kinds: Iterable[str] | None = None) -> Iterator[AuditEntry]:
        """Read entries in order, one at a time.

        Args:
            subject: only entries about this item or policy.
            kinds: only entries of these kinds.

        Raises:
            SafetyError: a line is no entry; reading stops there, because the line may have been a matching entry.
            AuditLogError: the file cannot be read.
        """
        kinds = None if kinds is None else set(kinds)
        # most lines are skipped without parsing; inside a record, the quotes of these texts would be escaped
        about = [] if subject is None else [b'"subject":' + canonical(subject)]
        of_kind = [b'"kind":' + canonical(kind) for kind in kinds or ()]
        for number, line in self._lines():
            if not line.endswith(b"\n"):  # half an entry: of a running or a killed append
                break
            if any(text not in line for text in about) or (of_kind and not any(text in line for text in of_kind)):
                continue
            entry = parse_entry(line)
            if entry is None:
                raise SafetyError(
                    f"{self.path}: line {number} is no entry of an audit log; run firstsight safety audit"
                )
            if subject in (None, entry.subject) and (kinds is None or entry.kind in kinds):
                yield entry

    def get(self, entry_id: str) -> AuditEntry:
        """Return one entry.

        Raises:
            SafetyError: no entry has this id, or a line before it is no entry.
        """
        for entry in self.entries():
            if entry.entry_id == entry_id:
                return entry
        raise SafetyError(f"the audit log {self.path} has no entry {entry_id!r}; see firstsight safety audit --list")

    def is_empty(self) -> bool:
        """Whether the log has no entry, and its head names none.

        Raises:
            AuditLogError: the head cannot be read, or is damaged.
        """
        head = self.head()
        return (head is None or head == EMPTY_HEAD) and next(self._lines(), None) is None

    def entries_since(
        self, known: LogHead, first: str | None, *, whole: bool = False
    ) -> Iterator[tuple[AuditEntry, LogHead]]:
        """Read the entries after a known end, each with the head after it.

        Args:
            known: an earlier end of the log.
            first: id of the first entry; None if `known` is `EMPTY_HEAD`.
            whole: check all entries up to the known end, not only the first and the last.

        Raises:
            AuditLogError: this is another log, an entry was changed, or the end is missing.
        """
        head = self.head()
        if head is None:
            if known == EMPTY_HEAD and self.is_empty():
                return
            raise AuditLogError(f"the audit log {self.path} or its head is missing")
        try:
            with self._open() as file:
                if known != EMPTY_HEAD:
                    self._check_known_entries(file, known, first, whole)
                file.seek(known.bytes)
                at, reached = known, head.bytes <= known.bytes
                for line in file:
                    if reached and not line.endswith(b"\n"):
                        break  # half an entry: of a running or a killed append
                    entry, problems = check_entry(line, at)
                    if entry is None or problems:
                        raise AuditLogError(f"the audit log {self.path} does not verify: {problems[0]}")
                    at = LogHead(entry.sequence, entry.hash, at.bytes + len(line))
                    reached = reached or at == head
                    yield entry, at
        except OSError as error:
            raise AuditLogError(f"the audit log {self.path} cannot be read ({error.strerror})") from None
        if not reached:
            raise AuditLogError(f"the audit log {self.path} does not verify: its end is missing")

    def _check_known_entries(self, file: BinaryIO, known: LogHead, first: str | None, whole: bool) -> None:
        """Check that the log holds its first and its last known entry, and with `whole` all entries between them."""
        at = next_head(file.readline(), EMPTY_HEAD)
        if at is None or (first is not None and at.entry_id != first):
            raise AuditLogError(f"the audit log {self.path} does not begin with entry {first}")
        while whole and at.bytes < known.bytes:
            line = file.readline()
            if not line:
                break
            after = next_head(line, at)
            if after is None:
                raise AuditLogError(f"the audit log {self.path} does not verify: see entry {at.sequence + 1}")
            at = after
        if at != known and not (not whole and has_entry_at(file, known)):
            raise AuditLogError(f"the audit log {self.path} does not hold entry {known.entry_id}")

    def verify(self, expected: str | None = None) -> Verification:
        """Check every entry's hash and place in the chain, and the end of the log.

        Args:
            expected: id of an entry that must be in the log, kept elsewhere.

        Returns:
            The problems: entries that were edited (even by one byte), removed, reordered, added or cut off.

        Raises:
            AuditLogError: the file cannot be read.
        """
        try:
            head = self.head()
        except SafetyError as error:
            return Verification(0, (LogProblem(0, str(error)),))
        if head is None:
            needed = self.path.exists() or expected
            return Verification(0, (LogProblem(0, f"the head {self._head.name} is missing"),) if needed else ())
        problems: list[LogProblem] = []
        at, pinned, unsettled, torn = EMPTY_HEAD, expected is None, 0, 0
        reached = head == at
        for number, line in self._lines():
            if reached and not line.endswith(b"\n"):
                torn = len(line)
                break
            entry, messages = check_entry(line, at)
            problems += [LogProblem(number, message) for message in messages]
            unsettled += reached
            # after a wrong entry, go on from the hash that it states, so that each problem is reported once
            sequence, stated = (at.sequence + 1, at.hash) if entry is None else (entry.sequence, entry.hash)
            at = LogHead(sequence, stated, at.bytes + len(line))
            pinned = pinned or at.entry_id == expected
            reached = reached or at == head
        if not reached:
            problems += [
                LogProblem(0, f"the log does not end with {head.entry_id}, as its head says: its end is missing")
            ]
        if not pinned:
            problems.append(LogProblem(0, f"entry {expected} is missing from the log"))
        return Verification(at.sequence, tuple(problems), unsettled, torn, None if problems else head.entry_id)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self._open() as file:
                yield from enumerate(file, 1)
        except FileNotFoundError:
            return
        except OSError as error:
            raise AuditLogError(
                f"the audit log {self.path} cannot be read ({error.strerror}); check the access rights"
            ) from None

    def _open(self) -> BinaryIO:
        """Open the log's file for reading; a device or a pipe is refused, because reading it may never end."""
        if self.path.exists() and not self.path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file")
        return self.path.open("rb")

    def head(self) -> LogHead | None:
        """Return the end of the log; None if there is no log yet.

        Raises:
            AuditLogError: the head cannot be read, or is damaged.
        """
        try:
            raw = self._head.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AuditLogError(f"the audit log's head {self._head} cannot be read ({error.strerror})") from None
        try:
            head = LogHead(**json.loads(raw))
            if raw != canonical(asdict(head)) + b"\n":
                raise ValueError("its form was changed")
        except (ValueError, TypeError) as error:
            raise AuditLogError(
                f"the audit log's head {self._head} is damaged ({error}); restore it from a copy"
            ) from None
        return head


def _write(file: RawIOBase, data: bytes | bytearray) -> None:
    """Write all data, and wait until it is on the disk."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]
    os.fsync(file.fileno())
