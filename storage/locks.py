"""Locks on a database folder: for the writer, for the creation of tables, and for the watch of an item.

The system releases a lock when its process dies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from firstsight.errors import DatabaseBusyError, StoreError

log = logging.getLogger(__name__)

SILENT_WAIT_S = 1.0
"""Wait for another writer, in seconds, after which the log reports it."""


BRIEF_WAIT_S = 30.0
"""Further wait, in seconds, for a writer that holds the lock for one batch only, which takes long at low priority."""


@contextmanager
def writer_lock(folder: Path, wait_s: float, *, brief: bool = False) -> Iterator[None]:
    """Hold the writer lock of a database folder.

    Args:
        wait_s: maximum wait for another writer, in seconds.
        brief: the caller takes the lock for each of its batches, for a moment each time. Other writers wait for it up
            to `BRIEF_WAIT_S`, even if they wait for no other.

    Raises:
        DatabaseBusyError: another process still holds the lock after `wait_s`; the message names its process id, host
            and start.
        StoreError: the folder cannot be written.
    """
    holder = folder / ".writer.json"
    lock = FileLock(folder / ".writer.lock")
    try:
        _acquire(lock, folder, holder, wait_s)
    except Timeout:  # a subclass of OSError, so it comes first
        raise DatabaseBusyError(f"{folder} is being written {_describe(holder)}; wait for it (--wait 600)") from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        since = datetime.now(UTC).isoformat()
        with suppress(OSError):  # the file only describes the holder; the first write reports a full disk
            facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "brief": brief}
            holder.write_text(json.dumps(facts))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, folder: Path, holder: Path, wait_s: float) -> None:
    try:
        lock.acquire(timeout=min(wait_s, SILENT_WAIT_S))
        return
    except Timeout:
        if wait_s > SILENT_WAIT_S:
            log.warning("%s is being written %s; waiting for it up to %g s", folder, _describe(holder), wait_s)
    try:
        lock.acquire(timeout=wait_s - min(wait_s, SILENT_WAIT_S))
    except Timeout:
        if not _is_brief(holder):
            raise
        lock.acquire(timeout=BRIEF_WAIT_S)


@contextmanager
def creation_lock(folder: Path) -> Iterator[None]:
    """Create the folder of a database, and hold the lock for the creation of its tables.

    Raises:
        StoreError: the folder holds other files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [p.name for p in folder.iterdir() if p.suffix != ".lance" and not p.name.startswith(".")]
    except OSError as error:
        raise StoreError(f"{folder} cannot be used as a database ({error.strerror}); choose another --db") from None
    if others and not (folder / "items.lance").is_dir():
        raise StoreError(f"{folder} holds other files ({others[0]}); give the database its own folder with --db")
    lock = FileLock(folder / ".create.lock")
    try:
        lock.acquire()
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def watch_lock(folder: Path, item_id: str) -> Iterator[None]:
    """Hold the lock for watching a stream for an item.

    Raises:
        DatabaseBusyError: another process watches a stream for this item.
        StoreError: the folder cannot be written.
    """
    lock = _watch_lock(folder, item_id)
    try:
        lock.acquire(timeout=0)
    except Timeout:  # a subclass of OSError, so it comes first
        raise DatabaseBusyError(
            f"another process watches a stream for item {item_id!r} in {folder}; stop that watch first"
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield
    finally:
        lock.release()


def is_watched(folder: Path, item_id: str) -> bool:
    """Whether a running process holds `watch_lock` for this item."""
    lock = _watch_lock(folder, item_id)
    try:
        lock.acquire(timeout=0)
    except OSError:  # includes Timeout
        return True
    lock.release()
    return False


def _watch_lock(folder: Path, item_id: str) -> FileLock:
    return FileLock(folder / f".watch-{hashlib.blake2b(item_id.encode(), digest_size=8).hexdigest()}.lock")


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"{folder} cannot be written ({error.strerror}); check its permissions, or choose another --db")


def _is_brief(holder: Path) -> bool:
    try:
        return bool(json.loads(holder.read_text()).get("brief"))
    except (OSError, ValueError, AttributeError):
        return False


def _describe(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text())
        return f"by process {facts['pid']} on {facts['host']} since {facts['since'][:19]}Z"
    except (OSError, ValueError, KeyError):
        return "by another process"
