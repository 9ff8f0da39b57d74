"""Rows of an event log under our column names, checked: user, item, time, type, weight and query."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from firstsight.indexer.columns.column_values import as_text
from firstsight.indexer.columns.stored_names import CONTROL_CHARACTERS
from firstsight.indexer.row_reader import MAX_ID
from firstsight.recommend.events.column_names import SYNONYMS
from firstsight.recommend.events.event_times import RefusedRow, number_of
from firstsight.records import Record

MAX_WEIGHT = 1e6
"""Higher than any scale in use: a larger weight is a price or an id in the wrong column."""


MAX_QUERY = 500
"""Characters of a query that are stored: encoders read fewer, and a longer text is no search."""


@dataclass(frozen=True, slots=True)
class Event(Record):
    """One event as it is stored: on an item, a search, or a click on a result of a search."""

    user_id: str
    item_id: str | None  # None for a search without a clicked item
    time_us: int  # microseconds since 1970
    event: str | None
    weight: float
    query: str | None = None

    @property
    def timestamp(self) -> datetime:
        """Time of the event in UTC."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.time_us)

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON fields, with the time as text."""
        head = {"user_id": self.user_id, "item_id": self.item_id, "timestamp": self.timestamp.isoformat()}
        return head | {"event": self.event, "weight": self.weight, "query": self.query}

    @property
    def event_id(self) -> str:
        """A hash of user, item, time and type, without an item also of the query: equal events are stored once."""
        # ids and queries hold no control characters, so line ends separate them safely
        key = f"{self.user_id}\n{self.item_id or ''}\n{self.time_us}\n{self.event or ''}"
        if self.item_id is None:
            key += f"\n{self.query}"
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def canonical_row(row: Mapping[str, object]) -> dict[str, object]:
    """The cells of one row under our names, from the first of the known names that has a value.

    This is for single rows. A file is read with the columns that `event_columns.choose_columns` takes.
    """
    found: dict[str, object] = {}
    for ours, names in SYNONYMS.items():
        values = (row[name] for name in names if name in row)
        found[ours] = next((value for value in values if value is not None and value != ""), None)
    return found


def read_event(row: Mapping[str, object], moment_us: int) -> Event:
    """Check one row and make an event of it.

    Args:
        row: cells under our names; None for empty ones.
        moment_us: time of the event, microseconds since 1970.

    Raises:
        RefusedRow: the row is unusable; the message has the value and the remedy.
    """
    user_id, query = read_id(row, "user_id"), read_query(row.get("query"))
    item_id = None if query and row.get("item_id") is None else read_id(row, "item_id")
    event = row.get("event")
    name = None if event is None else _check_text(as_text(event).strip(), "event")
    return Event(user_id, item_id, moment_us, name or None, _weight(row.get("weight")), query)


def read_query(value: object) -> str | None:
    """Read the text of a search; None if it is empty.

    Line ends, tabs and other control characters become single spaces. A list of words, also as text ("[20, 34, 3]"),
    is joined by spaces, as anonymised logs have it. At most `MAX_QUERY` characters are kept.
    """
    words = value
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            words = json.loads(value)
        except (ValueError, RecursionError):
            words = value
    if isinstance(words, list | tuple):
        words = " ".join(as_text(word) for word in words if isinstance(word, str | int | float))
    if words is None or words != words or isinstance(words, bytes | dict):
        return None
    return " ".join(CONTROL_CHARACTERS.sub(" ", as_text(words)).split())[:MAX_QUERY].strip() or None


def read_id(row: Mapping[str, object], column: str) -> str:
    """Check an id, by the same rules as for ids of the catalogue.

    Raises:
        RefusedRow: there is none, or it is no text and no whole number.
    """
    value = row.get(column)
    text = "" if value is None else as_text(value).strip()
    if not text:
        raise RefusedRow(f"the event has no {column}; an event needs user_id, timestamp, and item_id or query")
    if isinstance(value, bool | list | dict | bytes) or (isinstance(value, float) and not value.is_integer()):
        raise RefusedRow(f"{column} {str(value)[:60]!r} is not an id; give a text or a whole number")
    return _check_text(text, column)


def hash_user_id(user_id: str) -> str:
    """The text that is stored for a user with --hash-users: 32 hexadecimal digits.

    An e-mail address counts in lower case, so that two spellings are one user. The hash hides addresses from readers of
    the database, but a person with a list of addresses can hash and compare them.
    """
    text = user_id.strip()
    return hashlib.blake2b((text.lower() if "@" in text else text).encode(), digest_size=16).hexdigest()


def _check_text(text: str, column: str) -> str:
    if len(text) > MAX_ID:
        raise RefusedRow(f"{column} {text[:20]!r}… has {len(text)} characters, more than {MAX_ID}; check the columns")
    if CONTROL_CHARACTERS.search(text):
        raise RefusedRow(f"{column} {text[:60]!r} has control characters; remove them where the file is made")
    return text


def _weight(value: object) -> float:
    if value is None:
        return 1.0
    number = number_of(value)
    if number is None or not 0 < number <= MAX_WEIGHT:
        raise RefusedRow(f"weight {str(value)[:60]!r} is not a number above 0 and up to {MAX_WEIGHT:.0f}; correct it")
    return number
