"""Reading databases of earlier layouts for tests: their files, their rows, and the results of all parts of the API."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb

import firstsight
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.policy.policies import load_policies
from firstsight.safety.review.explanation import explain
from firstsight.storage.store import Store

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+")
NOW = datetime(2026, 2, 1, tzinfo=UTC)
BLOCKED, ALLOWED, APPEALED, OVERTURNED = "sneakers-sky", "sneakers-green", "hiking-boot", "flip-flops"


def files(folder: Path) -> dict[str, str]:
    """Digests of all files of a folder, by path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only for a while."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path in paths:
            path.chmod(0o755)


def rows(db: Path) -> dict[str, list[str]]:
    """Rows of all tables in a stable order, without times in texts: an upgrade step may store its time."""
    connection = lancedb.connect(db)
    rows_by_table = {}
    for name in connection.list_tables().tables:
        table = connection.open_table(name).search().limit(None).to_arrow()
        rows_by_table[name] = [
            str(table.column_names),
            *sorted(TIMESTAMP.sub("", repr(row)) for row in table.to_pylist()),
        ]
    return rows_by_table


def read_all(db: Path) -> dict[str, Any]:
    """Results of all reading parts of the API on a database."""
    opened, store = firstsight.open(db), Store.open(db)
    reviews = Reviews.read(AuditLog.of(str(db)))
    return {
        "search": [(r.item_id, round(r.score, 4)) for r in opened.search("running shoes", k=5)],
        "moments": [r.item_id for r in opened.search("a cat", kinds=["video"], moments=True)],
        "by words": [r.item_id for r in opened.search("leather boot", mode="words", include_blocked=True)],
        "by code": len(opened.search("shoes", where="semantic_id LIKE '%'", k=100)),
        "get": opened.get("bananas").views[1].fingerprint,
        "failures": [row.item_id for row in opened.indexing.failures()],
        "runs": [run.outcome for run in opened.status().runs],
        "recommend": [slot.item_id for slot in opened.recommend("user-1", k=5, seed=1, now=NOW)],
        "events": opened.events.status().events,
        "models": [(m.version, m.in_use) for m in opened.cold_start.versions()],
        "rerankers": [r.version for r in opened.rerankers.versions()],
        "semantic ids": sorted(row.semantic_id for row in opened.semantic_ids.export()),
        "blocked": sorted(store.blocked([BLOCKED, ALLOWED, APPEALED, OVERTURNED])),
        "decided": {item_id: decision.action for item_id, decision in reviews.decisions.items()},
        "appeals": sorted(reviews.appeals),
        "explained": explain(store, APPEALED, load_policies(None), AuditLog.of(str(db))).decision,
    }
