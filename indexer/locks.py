"""Locks on a database folder: one writer at a time, and one process at a time that makes the tables."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from firstsight.errors import DatabaseBusyError, StoreError


@contextmanager
def writer_lock(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the writer lock of a database folder; the system lets go of it when the process dies.

    Raises:
        DatabaseBusyError: another process holds it, named by process, host and start.
    """
    holder = folder / ".writer.json"
    lock = FileLock(folder / ".writer.lock")
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise DatabaseBusyError(f"{folder} is being written {_describe(holder)}; wait for it (--wait 600)") from None
    try:
        since = datetime.now(UTC).isoformat()
        holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def creation_lock(folder: Path) -> Iterator[None]:
    """Hold the right to make a database's tables, making its folder first.

    Raises:
        StoreError: the folder holds something else, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [p.name for p in folder.iterdir() if p.suffix != ".lance" and not p.name.startswith(".")]
    except OSError as error:
        raise StoreError(f"{folder} cannot be used as a database ({error.strerror}); choose another --db") from None
    if strangers:
        raise StoreError(f"{folder} holds other things ({strangers[0]}); give the database its own folder with --db")
    with FileLock(folder / ".create.lock"):
        yield


def _describe(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text())
        return f"by process {facts['pid']} on {facts['host']} since {facts['since'][:19]}Z"
    except (OSError, ValueError, KeyError):
        return "by another process"
