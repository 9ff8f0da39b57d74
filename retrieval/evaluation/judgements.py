"""Relevance judgements: grades of items for queries, read from a file and checked row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firstsight.errors import QueryError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow, Row
from firstsight.records import Record
from firstsight.retrieval.results import locate

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "qid"),
    "text": ("query", "text", "query_text"),
    "image": ("image", "query_image"),
    "item_id": ("item_id", "item", "doc_id", "product_id"),
    "grade": ("grade", "relevance", "label", "rel"),
    "event": ("event", "event_type"),
    "weight": ("weight", "event_weight"),
}
"""Column to its accepted names in a file; the first name with a value is used."""

EVENT_GRADES: Mapping[str, int] = {
    "impression": 0,
    "view": 0,
    "skip": 0,
    "click": 1,
    "like": 2,
    "add_to_cart": 2,
    "cart": 2,
    "purchase": 3,
    "buy": 3,
}
"""Grade of each event: the stronger the commitment, the higher the grade."""

MAX_GRADE = 100
"""Maximum grade, above every scale in use. A larger number is a price or an id in the wrong column."""

MAX_LISTED = 10
"""Maximum number of bad rows listed in one message."""


@dataclass(frozen=True)
class JudgedQuery(Record):
    """One query with the grades of its judged items."""

    query_id: str
    text: str | None  # query text; None for a picture query
    image: str | None  # path or address of the query picture; None for a text query
    grades: Mapping[str, int] = field(default_factory=dict)  # item id to grade: 0 is not relevant, higher is better

    @property
    def relevant_items(self) -> dict[str, int]:
        """Items with a grade above 0, best grade first; ties by id."""
        return dict(sorted(((i, g) for i, g in self.grades.items() if g > 0), key=lambda pair: (-pair[1], pair[0])))


def read_judgements(path: str | Path) -> list[JudgedQuery]:
    """Read graded judgements: columns `query` or `image`, `item_id`, `grade`, and optionally `query_id`.

    Rows with the same `query_id`, or without it the same query, belong together. A relative picture path starts at
    the file's folder.

    Args:
        path: CSV, TSV, JSON Lines or Parquet file.

    Returns:
        The queries in the order of their first row, including queries without an item of grade above 0.

    Raises:
        QueryError: the file cannot be read, lacks a column, or has invalid rows. The message lists up to ten rows.
            Invalid rows are an error, because skipping a judgement would change every figure.
    """
    return _read(Path(path), events=False)


def read_events(path: str | Path) -> list[JudgedQuery]:
    """Read a log of user events as judgements: columns `query` or `image`, `item_id`, `event`.

    The grade of an item is that of its strongest event for the query (`EVENT_GRADES`). A column `weight`, whole numbers
    from 0 to 100, replaces these grades; then events may have any name. Users click items at the top more often, so
    grades from events reflect the old ranking.

    Args:
        path: CSV, TSV, JSON Lines or Parquet file.

    Returns:
        The queries in the order of their first row.

    Raises:
        QueryError: the file cannot be read, lacks a column, or has invalid rows, such as an unknown event without a
            weight.
    """
    return _read(Path(path), events=True)


def _read(path: Path, *, events: bool) -> list[JudgedQuery]:
    if not path.is_file():
        raise QueryError(f"there is no file {str(path)!r}; give judgements as {', '.join(FORMATS)}")
    if path.suffix.lower() not in FORMATS:
        raise QueryError(f"{path}: the format {path.suffix or path.name!r} is not supported; give {', '.join(FORMATS)}")
    source = open_source(str(path))
    table = _JudgementTable(source.root, events)
    problems: list[str] = []
    number = 0
    for number, row in source.rows():
        problem = str(row) if isinstance(row, BadRow) else table.add(row)
        if problem is not None:
            problems.append(f"{source.place} {number}: {problem}")
    if problems:
        more = f"\n  and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        raise QueryError(
            f"{path} has {len(problems)} invalid rows; correct or remove them:\n  "
            + "\n  ".join(problems[:MAX_LISTED])
            + more
        )
    if not number:
        raise QueryError(f"{path} has no judgements; give rows of query, item_id and {'event' if events else 'grade'}")
    return table.queries()


class _JudgementTable:
    """Collects judgements row by row; `add` returns the problem of an invalid row."""

    def __init__(self, root: Path, events: bool) -> None:
        self._root = root
        self._events = events
        self._query_parts: dict[str, tuple[str | None, str | None]] = {}
        self._grades: dict[str, dict[str, int]] = {}

    def add(self, row: Row) -> str | None:
        text, image, item_id = (_text(_cell(row, name)) for name in ("text", "image", "item_id"))
        if (text is None) == (image is None):
            return "it has no query" if text is None else "it has a query text and an image; give one of them"
        if item_id is None:
            return "it has no item_id; name the item that was judged"
        grade = self._grade(row)
        if isinstance(grade, str):
            return grade
        if image is not None:
            image = locate(image, str(self._root.absolute()))
        query_id = _text(_cell(row, "query_id")) or text or image or ""
        if self._query_parts.setdefault(query_id, (text, image)) != (text, image):
            before = self._query_parts[query_id][0] or self._query_parts[query_id][1]
            return f"query_id {query_id!r} is {before!r} above and {text or image!r} here; give each its own id"
        grades = self._grades.setdefault(query_id, {})
        if self._events:
            grades[item_id] = max(grade, grades.get(item_id, 0))
        elif grades.setdefault(item_id, grade) != grade:
            return f"item {item_id!r} has grade {grades[item_id]} above and {grade} here for one query; keep one"
        return None

    def queries(self) -> list[JudgedQuery]:
        return [JudgedQuery(key, *parts, grades=self._grades[key]) for key, parts in self._query_parts.items()]

    def _grade(self, row: Row) -> int | str:
        if not self._events:
            value = _cell(row, "grade")
            if value is None:
                return "it has no grade; give 0 for an item that is not relevant, and 1 or more for a relevant one"
            return _whole_number("grade", value)
        weight = _cell(row, "weight")
        if weight is not None:
            return _whole_number("weight", weight)
        event = str(_cell(row, "event") or "").strip().lower()
        if event not in EVENT_GRADES:
            return f"event {event!r} is not one of {', '.join(EVENT_GRADES)}; use one of them, or give a weight"
        return EVENT_GRADES[event]


def _whole_number(name: str, value: object) -> int | str:
    """Parse a grade or weight, or return the problem."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not number.is_integer() or not 0 <= number <= MAX_GRADE:
        return f"{name} {value!r} is not a whole number from 0 to {MAX_GRADE}; 0 means not relevant"
    return int(number)


def _cell(row: Row, column: str) -> object:
    return next((row[name] for name in COLUMNS[column] if row.get(name) is not None), None)


def _text(value: object) -> str | None:
    """Convert a cell to text; a number loses a trailing .0, so that an id is the same in CSV, JSON and Parquet."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value).strip() or None
