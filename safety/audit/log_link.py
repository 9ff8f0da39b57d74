"""The table `safety_log`: which audit log belongs to a database, how much of it is known, and the work in hand.

Ids of entries are stored, not a path: a copy, a restored database and an object store find their log wherever it lies.
The work in hand (a `ScoringPlan`) is committed before its first entry is logged, and taken out once it is done; a kill
in between is made good by the next command that writes. All of it is one table that is written whole, so that each step
is one commit.
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
"""What an audit log takes: kind, subject, record."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.string(), nullable=False),  # "link", "plan", or the place of an entry of the plan
    pa.field("value", pa.string(), nullable=False),  # JSON
]
SCHEMA = pa.schema(_FIELDS)

CLOCK_SLACK = timedelta(hours=1)
"""By which a clock may be put back between two writes."""

COMMITS_PER_CLEANUP = 64
"""Commits of a small table after which its old versions are removed; each is a file."""

KEEP_VERSIONS = timedelta(minutes=10)
"""Age of versions that a reader may still be at, which reads the table once."""


@dataclass(frozen=True)
class LogLink:
    """What a database knows of its audit log."""

    first: str | None  # id of the log's first entry; None while the log is empty
    last: LogHead  # the last entry that is known; the log may go on after it
    began: str  # UTC, ISO 8601: an entry of a log that was empty then is not older

    @classmethod
    def to_empty_log(cls) -> LogLink:
        """The link to a log that has no entry yet."""
        return cls(None, EMPTY_HEAD, (datetime.now(UTC) - CLOCK_SLACK).isoformat(timespec="microseconds"))


@dataclass(frozen=True)
class ScoringPlan:
    """A scoring that is about to be logged and put in force: staged scores, and the entries that tell of them."""

    settings: Mapping[str, Any]  # plain JSON values, see `ScoreTable.put_in_force`
    entries: tuple[Entry, ...]


def read_link(store: Store) -> tuple[LogLink | None, ScoringPlan | None]:
    """The link to the audit log, and the work that a kill left; None where there is none."""
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
    """Put a link, and what is in hand, in the place of those before, in one commit.

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
