"""The table `safety_log`: the database's link to its audit log, and an unfinished scoring.

The link holds ids of entries, not a path, so that a copied or restored database, or one in an object store, finds its
log in any place. A `ScoringPlan` is committed before its first entry is logged, and removed when it is done; after a
kill in between, the next command that writes finishes it. The whole table is written at once, so each step is one
commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from firstsight.safety.audit.audit_entries import EMPTY_HEAD, LogHead
from firstsight.storage.side_tables import open_side_table, unwritable
from firstsight.storage.store import Store

TABLE = "safety_log"

Entry = tuple[str, str, Mapping[str, Any]]
"""An entry to log: kind, subject, record."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.string(), nullable=False),  # "link", "plan", or the place of one of the plan's entries
    pa.field("value", pa.string(), nullable=False),  # JSON
]
SCHEMA = pa.schema(_FIELDS)

CLOCK_SLACK = timedelta(hours=1)
"""Maximum step by which a clock may be set back between two writes."""

COMMITS_PER_CLEANUP = 64
"""Number of commits of a small table between removals of its old versions; each version is a file."""

KEEP_VERSIONS = timedelta(minutes=10)
"""Age up to which old versions are kept for readers; a reader reads the table once."""


@dataclass(frozen=True)
class LogLink:
    """A database's link to its audit log."""

    first: str | None  # id of the log's first entry; None while the log is empty
    last: LogHead  # the last known entry; the log may have more
    began: str  # UTC, ISO 8601: entries of a log that was empty at the time of the link are not older

    @classmethod
    def to_empty_log(cls) -> LogLink:
        """Return a link to a log without entries."""
        return cls(None, EMPTY_HEAD, (datetime.now(UTC) - CLOCK_SLACK).isoformat(timespec="microseconds"))


@dataclass(frozen=True)
class ScoringPlan:
    """A staged scoring, to be logged and put in force, with its log entries."""

    settings: Mapping[str, Any]  # plain JSON values, see `ScoreTable.put_in_force`
    entries: tuple[Entry, ...]


def read_link(store: Store) -> tuple[LogLink | None, ScoringPlan | None]:
    """Return the link to the audit log and the unfinished scoring; None for each that does not exist."""
    table = open_side_table(store, TABLE)
    if table is None:
        return None, None
    rows = {row["key"]: json.loads(row["value"]) for row in table.search().limit(None).to_arrow().to_pylist()}
    if "link" not in rows:
        return None, None
    stored = rows.pop("link")
    link = LogLink(stored["first"], LogHead(**stored["last"]), stored["began"])
    if "plan" not in rows:
        return link, None
    settings = rows.pop("plan")
    return link, ScoringPlan(
        settings, tuple((kind, subject, record) for _, (kind, subject, record) in sorted(rows.items()))
    )


def write_link(store: Store, link: LogLink, plan: ScoringPlan | None = None) -> None:
    """Replace the link and the unfinished scoring, in one commit.

    Args:
        store: the database; the caller holds its writer lock.
        link: the new link.
        plan: the scoring to finish; None if there is none.

    Raises:
        StoreError: the database cannot be written.
    """
    rows = {"link": json.dumps(asdict(link))}
    if plan is not None:
        rows["plan"] = json.dumps(dict(plan.settings))
        rows |= {f"{place:012d}": json.dumps([*entry]) for place, entry in enumerate(plan.entries)}
    content = pa.table({"key": list(rows), "value": list(rows.values())}, schema=SCHEMA)
    try:
        table = store.session.create_table(TABLE, content, schema=SCHEMA, mode="overwrite")
        if table.version % COMMITS_PER_CLEANUP == 0:
            table.optimize(cleanup_older_than=KEEP_VERSIONS)
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error
