"""Indexes in a process of its own, for tests that kill, crowd or limit it: `python -m tests.indexer.index_worker`.

Reads one JSON object from its arguments, prints "ready" when all is imported, waits for a line, indexes, prints
the outcome.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

import firstsight
from firstsight.indexer.index_settings import IndexSettings
from firstsight.storage.store import Store
from tests.indexer.shop import DIM, ColourEncoder


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


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
    settings = IndexSettings(**job.get("settings", {}))
    how = {"settings": settings, "prune": job.get("prune", False), "wait_s": job.get("wait_s", 0.0)}
    try:
        say(database.index(job["source"], **how).outcome)
    except firstsight.FirstsightError as error:
        say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
