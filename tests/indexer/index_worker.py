"""Indexes in a process of its own, for tests that kill, crowd or limit it: `python -m tests.indexer.index_worker`.

Reads one JSON object from its arguments, prints "ready" when all is imported, waits for a line, indexes, prints
the outcome.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import firstsight
from firstsight.indexer.index_settings import IndexSettings
from firstsight.storage.store import Store
from tests.indexer.shop import DIM, ColourEncoder


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def die_within_write(number: int, db: Path) -> None:
    """Have this process killed within its `number`-th write to LanceDB, as soon as a new file of it is on the disk."""
    writes = 0
    before: set[Path] = set()
    real = Store._writes

    def die() -> None:
        while set(db.rglob("*")) <= before:
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def counted(store: Store) -> Iterator[None]:
        nonlocal writes, before
        writes += 1
        if writes == number:
            before = set(db.rglob("*"))
            threading.Thread(target=die).start()
        with real(store):
            yield

    Store._writes = counted  # type: ignore[assignment, method-assign]


def main() -> None:
    job: dict[str, Any] = json.loads(sys.argv[1])
    encoder = ColourEncoder(dim=job.get("dim", DIM))
    encoder.encode_texts(["warm"])
    database = firstsight.open(job["db"], encoder=encoder)
    say("ready")
    sys.stdin.readline()
    if "file_bytes" in job:  # no file may grow beyond this, as if the disk were full
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    if job.get("hold"):  # the writer lock, until another line comes
        with Store.create(job["db"], encoder.spec).writing():
            say("holding")
            sys.stdin.readline()
        return
    if "die_within_write" in job:
        die_within_write(job["die_within_write"], Path(job["db"]))
    settings = IndexSettings(**job.get("settings", {}))
    how = {"settings": settings, "prune": job.get("prune", False), "wait_s": job.get("wait_s", 0.0)}
    try:
        say(database.index(job["source"], **how).outcome)
    except firstsight.FirstsightError as error:
        say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
