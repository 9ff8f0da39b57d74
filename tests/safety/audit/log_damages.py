"""Ways in which the audit log of a database is lost or damaged."""

from __future__ import annotations

import json
from pathlib import Path

from tests.safety.audit.decided_database import files, log_of


def lose(path: Path) -> None:
    for file in files(path):
        file.unlink()


def cut(path: Path) -> None:
    """Cut off the last entries, with a head that fits."""
    log, head = files(path)
    lines = log.read_bytes().splitlines(keepends=True)[:-2]
    log.write_bytes(b"".join(lines))
    last = json.loads(lines[-1])
    plain = {"bytes": log.stat().st_size, "hash": last["hash"], "sequence": last["sequence"]}
    head.write_text(json.dumps(plain, separators=(",", ":")) + "\n")


def empty(path: Path) -> None:
    lose(path)
    log_of(path).check_writable()


def replace_log(path: Path) -> None:
    lose(path)
    for n in range(20):
        log_of(path).append("decision", f"i{n:05d}", {"action": "allow"})


def edit_first(path: Path) -> None:
    log, _ = files(path)
    log.write_bytes(log.read_bytes().replace(b'"kind":"decision"', b'"kind":"Decision"', 1))


def lose_head(path: Path) -> None:
    files(path)[1].unlink()
