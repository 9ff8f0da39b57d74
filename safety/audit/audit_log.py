"""The audit log: every decision, override, appeal and training run, in entries that chain by SHA-256.

A file of JSON lines beside the database's tables rather than a table among them. An append is one write and one fsync
however long the log is, where a table would take a version and a file an append and would rewrite the past when it is
compacted; every byte of the file is covered by a hash, where a table's files have bytes that no reader looks at; and an
auditor can check it with twenty lines of any language.

Each entry's hash is over the canonical JSON (keys sorted, no blanks, UTF-8) of all its other fields, of which one is
the hash before it. A head file beside the log says where it ends, so that entries missing from the end show as well.
The log shows what was changed by accident or by someone who does not rewrite both files: there is no secret in it. Who
has to defend it against the machine's own administrators keeps `head().entry_id` elsewhere and gives it to `verify`.
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
    Problem,
    Verification,
    as_line,
    canonical,
    chained,
    checked,
    follow,
    parsed,
    plain_content,
)

LOG_FILE = "safety-log.jsonl"
HEAD_FILE = "safety-log.head.json"
LOG_VARIABLE = "FIRSTSIGHT_SAFETY_LOG"
"""Environment variable that names the log's file; a database at an object-store address needs it."""

WAIT_S = 60.0
"""For another process that is appending, which takes milliseconds."""

_STEP = 65_536  # bytes that are read back at once to find where an entry begins


class AuditLog:
    """An append-only log in one file, for several processes at once; readers never wait."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Use the log at a path; it is made by the first append."""
        self.path = Path(path)
        self._head = self.path.with_name(HEAD_FILE if self.path.name == LOG_FILE else f"{self.path.name}.head.json")

    @classmethod
    def of(cls, uri: str) -> AuditLog:
        """The log of a database: `$FIRSTSIGHT_SAFETY_LOG`, else a file in the database's folder.

        Raises:
            SafetyError: the database is at an object-store address, where nothing can be appended to.
        """
        if named := os.environ.get(LOG_VARIABLE):
            return cls(named)
        if "://" in uri:
            raise SafetyError(
                f"{uri} is an object store, where no log can be appended to; name a file for it on a disk that is "
                f"backed up, the same for everyone: export {LOG_VARIABLE}=/path/safety-log.jsonl"
            )
        return cls(Path(uri) / LOG_FILE)

    # ---- writing

    def append(self, kind: str, subject: str, record: Mapping[str, Any]) -> str:
        """Add one entry; it is on the disk when this returns.

        Args:
            kind: what happened, one word.
            subject: what it happened to: an item's id, a policy's.
            record: plain JSON values: what is needed to tell why, and to decide it again.

        Returns:
            The entry's id.

        Raises:
            SafetyError: the record is not JSON, the log cannot be written, or is shorter than it was.
        """
        return self.append_many([(kind, subject, record)])[0]

    def append_many(self, entries: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
        """Add entries of `(kind, subject, record)` in order, at the cost of one append.

        A kill leaves the first of them whole, possibly none. Raises as `append`, before anything is written where a
        record is not JSON.
        """
        contents = [plain_content(kind, subject, record) for kind, subject, record in entries]
        if not contents:
            return []
        with self._appending() as file:
            start = head = self._recover_end(file)
            time, made = datetime.now(UTC).isoformat(timespec="microseconds"), []
            lines = bytearray()
            for content in contents:
                made.append(chained(content, head.sequence + 1, time, head.hash))
                lines += as_line(made[-1])
                head = LogHead(head.sequence + 1, made[-1].hash, start.bytes + len(lines))
            try:
                _write(file, lines)
                self._write_head(head)
            except OSError:  # a full disk: no entry stays of what the caller is told was not recorded
                with contextlib.suppress(OSError):
                    file.truncate(start.bytes)
                raise
            return [entry.entry_id for entry in made]

    def check_writable(self) -> None:
        """Make sure that an entry could be added now; makes an empty log where there is none.

        Raises:
            SafetyError: as `append`.
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
                f"the audit log {self.path} cannot be written ({error.strerror or error}); what it is about was not "
                "recorded: see that there is room and access, then do it again"
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[RawIOBase]:
        if self.path.exists():
            self._open().close()
        locked = self.path.with_name(f".{self.path.name}.lock")
        locked.parent.mkdir(parents=True, exist_ok=True)
        locked.touch()  # FileLock waits in vain where no file can be made, as in /proc/self
        lock = FileLock(locked, timeout=WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise AuditLogError(
                f"another process holds the audit log {self.path} since {WAIT_S:.0f} s; see to it"
            ) from None
        try:
            if self._read_head() is None and not self.path.exists():
                self._write_head(EMPTY_HEAD)  # before the first entry: a log without a head is then never a kill's
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
                yield file
        finally:
            lock.release()

    def _recover_end(self, file: RawIOBase) -> LogHead:
        """Where to go on writing: after what a killed append left whole, its torn end dropped."""
        head = self._read_head()
        size = file.seek(0, os.SEEK_END)
        if head is None or size < head.bytes:
            raise AuditLogError(
                f"the audit log {self.path} has lost its end or its head; nothing is added to it: see firstsight "
                "safety audit, and restore both files from a copy"
            )
        file.seek(head.bytes)
        for line in (file.read() or b"").splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            entry, wrong = checked(line, head)
            if entry is None or wrong:
                raise AuditLogError(
                    f"the audit log {self.path} has been written to by something else after entry {head.sequence} "
                    f"({wrong[0]}); nothing is added to it: see firstsight safety audit"
                )
            head = LogHead(entry.sequence, entry.hash, head.bytes + len(line))
        file.truncate(head.bytes)
        file.seek(head.bytes)
        return head

    def _write_head(self, head: LogHead) -> None:
        """Write the head in the place of the one before, whole or not at all."""
        new = self._head.with_name(f".{self._head.name}.new")
        with new.open("wb", buffering=0) as file:
            _write(file, canonical(asdict(head)) + b"\n")
        new.replace(self._head)
        if os.name == "posix":  # the names, too, outlast a power cut
            folder = os.open(self._head.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    # ---- reading

    def head(self) -> LogHead | None:
        """Where the log ends; None where there is none yet.

        Raises:
            SafetyError: the head cannot be read.
        """
        return self._read_head()

    def entries(self, *, subject: str | None = None, kinds: Iterable[str] | None = None) -> Iterator[AuditEntry]:
        """Entries in order: all, or those about a subject, or of some kinds. Reads the file once, in flat memory.

        Raises:
            SafetyError: a line cannot be read; the others are not looked at, since it may have been one of them.
        """
        wanted = None if kinds is None else set(kinds)
        # most lines are passed over without being parsed: what is looked for is escaped wherever else it stands
        about = [] if subject is None else [b'"subject":' + canonical(subject)]
        of_kind = [b'"kind":' + canonical(kind) for kind in wanted or ()]
        for number, line in self._lines():
            if not line.endswith(b"\n"):  # half an entry, being written or left by a kill
                break
            if any(text not in line for text in about) or (of_kind and not any(text in line for text in of_kind)):
                continue
            entry = parsed(line)
            if entry is None:
                raise SafetyError(
                    f"{self.path}: line {number} is no entry of an audit log; see firstsight safety audit"
                )
            if subject in (None, entry.subject) and (wanted is None or entry.kind in wanted):
                yield entry

    def get(self, entry_id: str) -> AuditEntry:
        """One entry.

        Raises:
            SafetyError: there is none of that id.
        """
        for entry in self.entries():
            if entry.entry_id == entry_id:
                return entry
        raise SafetyError(f"the audit log {self.path} has no entry {entry_id!r}; see firstsight safety audit --list")

    def is_empty(self) -> bool:
        """Whether there is neither an entry nor a head that tells of one.

        Raises:
            AuditLogError: the head cannot be read.
        """
        head = self._read_head()
        return (head is None or head == EMPTY_HEAD) and next(self._lines(), None) is None

    def entries_since(
        self, known: LogHead, first: str | None, *, whole: bool = False
    ) -> Iterator[tuple[AuditEntry, LogHead]]:
        """The entries after one that is known, each with the head that it makes.

        Args:
            known: where the log ended once.
            first: id of the first entry then; None where `known` is `EMPTY_HEAD`.
            whole: look at all entries up to the known one, too, not only at the first and the last of them.

        Raises:
            AuditLogError: this is not the log that was known, or an entry was changed, or its end is missing.
        """
        head = self._read_head()
        if head is None:
            if known == EMPTY_HEAD and self.is_empty():
                return
            raise AuditLogError(f"the audit log {self.path} is missing, or its head is")
        try:
            with self._open() as file:
                if known != EMPTY_HEAD:
                    self._check_known_entries(file, known, first, whole)
                file.seek(known.bytes)
                at, reached = known, head.bytes <= known.bytes
                for line in file:
                    if reached and not line.endswith(b"\n"):
                        break  # half an entry, being written or left by a kill
                    entry, wrong = checked(line, at)
                    if entry is None or wrong:
                        raise AuditLogError(f"the audit log {self.path} does not verify: {wrong[0]}")
                    at = LogHead(entry.sequence, entry.hash, at.bytes + len(line))
                    reached = reached or at == head
                    yield entry, at
        except OSError as error:
            raise AuditLogError(f"the audit log {self.path} cannot be read ({error.strerror})") from None
        if not reached:
            raise AuditLogError(f"the audit log {self.path} does not verify: its end is missing")

    def _check_known_entries(self, file: BinaryIO, known: LogHead, first: str | None, whole: bool) -> None:
        """See that a log holds its first entry and the last known one, or all entries between them."""
        at = follow(file.readline(), EMPTY_HEAD)
        if at is None or (first is not None and at.entry_id != first):
            raise AuditLogError(f"the audit log {self.path} does not begin with entry {first}")
        while whole and at.bytes < known.bytes:
            line = file.readline()
            if not line:
                break
            after = follow(line, at)
            if after is None:
                raise AuditLogError(f"the audit log {self.path} does not verify: see entry {at.sequence + 1}")
            at = after
        if at != known and not (not whole and _ends_with(file, known)):
            raise AuditLogError(f"the audit log {self.path} does not hold entry {known.entry_id}")

    def verify(self, expected: str | None = None) -> Verification:
        """Look at every entry: its hash, its place in the chain, and where the log ends.

        Args:
            expected: an entry's id that was kept elsewhere; it has to be in the log still.

        Returns:
            What was found: an edited, removed, reordered, added or cut-off entry, or one byte that changed.
        """
        try:
            head = self._read_head()
        except SafetyError as error:
            return Verification(0, (Problem(0, str(error)),))
        if head is None:
            there = self.path.exists() or expected
            return Verification(0, (Problem(0, f"the head {self._head.name} is missing"),) if there else ())
        problems: list[Problem] = []
        at, pinned, unsettled, torn = EMPTY_HEAD, expected is None, 0, 0
        reached = head == at
        for number, line in self._lines():
            if reached and not line.endswith(b"\n"):
                torn = len(line)
                break
            entry, wrong = checked(line, at)
            problems += [Problem(number, one) for one in wrong]
            unsettled += reached
            # after a wrong entry the chain is taken up where that entry leaves it, so that each problem is told once
            sequence, chained = (at.sequence + 1, at.hash) if entry is None else (entry.sequence, entry.hash)
            at = LogHead(sequence, chained, at.bytes + len(line))
            pinned = pinned or at.entry_id == expected
            reached = reached or at == head
        if not reached:
            problems += [Problem(0, f"the log does not end with {head.entry_id}, as its head says: its end is missing")]
        if not pinned:
            problems.append(Problem(0, f"entry {expected} is not in the log any more"))
        return Verification(at.sequence, tuple(problems), unsettled, torn)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self._open() as file:
                yield from enumerate(file, 1)
        except FileNotFoundError:
            return
        except OSError as error:
            raise AuditLogError(
                f"the audit log {self.path} cannot be read ({error.strerror}); see to its access"
            ) from None

    def _open(self) -> BinaryIO:
        """The log's file for reading; a device or a pipe is refused, since reading it may never end."""
        if self.path.exists() and not self.path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file")
        return self.path.open("rb")

    def _read_head(self) -> LogHead | None:
        try:
            raw = self._head.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AuditLogError(f"the audit log's head {self._head} cannot be read ({error.strerror})") from None
        try:
            head = LogHead(**json.loads(raw))
            if raw != canonical(asdict(head)) + b"\n":
                raise ValueError("it is not as it was written")
        except (ValueError, TypeError) as error:
            raise AuditLogError(
                f"the audit log's head {self._head} is damaged ({error}); restore it from a copy"
            ) from None
        return head


def _ends_with(file: BinaryIO, known: LogHead) -> bool:
    """Whether a line that ends at a head's place is the head's entry."""
    start, line = known.bytes, b""
    while start and line.count(b"\n") < 2:  # its own end, and that of the line before it
        start = max(0, start - _STEP)
        file.seek(start)
        line = file.read(known.bytes - start)
    line = line[line.rfind(b"\n", 0, -1) + 1 :]
    previous = line.find(b',"previous":"') + len(b',"previous":"')
    before = LogHead(
        known.sequence - 1, line[previous : previous + 64].decode(errors="replace"), known.bytes - len(line)
    )
    return follow(line, before) == known


def _write(file: RawIOBase, data: bytes | bytearray) -> None:
    """All of it, on the disk."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]
    os.fsync(file.fileno())
