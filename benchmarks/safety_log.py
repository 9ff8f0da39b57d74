"""Time to check a long audit log: at each scoring, at each decision, and by `firstsight safety audit`.

    python -m benchmarks.safety_log --entries 1000000

Entries are like those of a scoring, with two pieces of evidence and about 1,200 bytes each. The lower limit for a check
of every byte is to read the file and hash it once (SHA-256).
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firstsight.safety.audit.audit_log import LOG_FILE, AuditLog

BATCH = 20_000


def record(n: int) -> dict[str, Any]:
    """Return a decision like those that scoring logs."""
    evidence = {
        "policy_id": "weapons",
        "view_id": f"item-{n}#image-0",
        "part": "image",
        "uri": f"https://pictures.example/{n}.jpg",
        "time_s": None,
        "score": 0.9312,
        "cut": 0.9,
        "source": "head",
        "note": "",
    }
    cuts = {f"policy-{place}": [0.5, 0.9] for place in range(10)}
    return {
        "item_id": f"item-{n}",
        "action": "block",
        "evidence": [evidence, evidence | {"score": 0.9107}],
        "policy_version": "681988f4f644660f",
        "head_versions": dict.fromkeys(cuts, 3),
        "decided_at": "2026-05-01T12:00:00+00:00",
        "scores": dict.fromkeys(cuts, n * 7919 % 10007 / 10007),
        "cuts": cuts,
        "standing": None,
        "min_age": None,
    }


def seconds(name: str, work: Callable[[], Any]) -> float:
    """Run work, and print and return its processor time, which other work on the machine does not change."""
    started, processor = time.perf_counter(), time.process_time()
    work()
    took = time.process_time() - processor
    print(f"{name}: {took:.2f} s of the processor, {time.perf_counter() - started:.2f} s in all", flush=True)
    return took


def main() -> None:
    """Build a log and measure its checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / LOG_FILE)
        for start in range(0, entries, BATCH):
            log.append_many([("decision", f"item-{n}", record(n)) for n in range(start, min(start + BATCH, entries))])
        first, head = next(log.entries()).entry_id, log.head()
        assert head is not None
        print(f"{entries:,} entries, {head.bytes / 1e6:,.0f} MB")
        with log.path.open("rb") as file:
            floor = seconds("reading and hashing the file", lambda: hashlib.file_digest(file, "sha256"))
        whole = seconds("every entry, at each scoring", lambda: list(log.entries_since(head, first, whole=True)))
        seconds("first, last and new entries, at each decision", lambda: list(log.entries_since(head, first)))
        seconds("every entry in full, by safety audit", lambda: log.verify())
        print(f"the check at each scoring takes {whole / floor:.1f} times as long as hashing the file")


if __name__ == "__main__":
    main()
