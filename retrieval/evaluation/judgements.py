"""Relevance judgements: which items answer a query, and how well; read from a file and checked row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firstsight.errors import QueryError
from firstsight.indexer.sources import BadRow, Row, open_source
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
"""Ours to the names a file may use; the first that it has counts."""

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
"""What an event says of an item, as a grade: the usual ladder of commitment."""

MAX_GRADE = 100
"""Above any scale in use; a larger grade is a price or an id in the wrong column."""

MAX_NAMED = 10
"""Bad rows named in one message."""


@dataclass(frozen=True)
class JudgedQuery:
    """One query with the grades of the items that were judged for it."""

    query_id: str
    text: str | None  # what was typed, or None for a picture
    image: str | None  # path or address of the query picture, or None for a text
    grades: Mapping[str, int] = field(default_factory=dict)  # item_id to grade: 0 does not answer it, more is better

    @property
    def relevant_items(self) -> dict[str, int]:
        """The items that answer it, best grade first."""
        return dict(sorted(((i, g) for i, g in self.grades.items() if g > 0), key=lambda pair: (-pair[1], pair[0])))


def read_judgements(path: str | Path) -> list[JudgedQuery]:
    """Read graded judgements: columns `query` or `image`, `item_id`, `grade`, and `query_id` where there is one.

    Rows of one query are told by their `query_id`, else by the query itself. A relative picture path starts at the
    file's folder.

    Args:
        path: CSV, TSV, JSON Lines or Parquet.

    Returns:
        The queries in the order of their first row; a query none of whose items has a grade above 0 is kept.

    Raises:
        QueryError: the file cannot be read, lacks a column, or has rows that break its rules; up to ten of them are
            named with their line. A judgement that is left out silently would change every figure.
    """
    return _read(Path(path), events=False)


def read_events(path: str | Path) -> list[JudgedQuery]:
    """Read a log of what people did with results as judgements: columns `query` or `image`, `item_id`, `event`.

    An item's grade is that of the strongest event it had for the query (`EVENT_GRADES`); a column `weight`, whole
    numbers from 0 to 100, says it in a file's own way, whatever its events are called. What was shown first is
    clicked first, whatever it is: grades from events carry the old ranking's order in them.

    Raises:
        QueryError: as `read_judgements`, and for an event of unknown name without a weight.
    """
    return _read(Path(path), events=True)


def _read(path: Path, *, events: bool) -> list[JudgedQuery]:
    if not path.is_file():
        raise QueryError(f"there is no file {str(path)!r}; give judgements as {', '.join(FORMATS)}")
    if path.suffix.lower() not in FORMATS:
        raise QueryError(f"{path}: *{path.suffix or path.name} is not read; give {', '.join(FORMATS)}")
    source = open_source(str(path))
    table = _JudgementTable(source.root, events)
    problems: list[str] = []
    number = 0
    for number, row in source.rows():
        problem = str(row) if isinstance(row, BadRow) else table.add(row)
        if problem is not None:
            problems.append(f"{source.place} {number}: {problem}")
    if problems:
        more = f"\n  and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise QueryError(
            f"{path} has {len(problems)} rows that cannot be used; mend or remove them:\n  "
            + "\n  ".join(problems[:MAX_NAMED])
            + more
        )
    if not number:
        raise QueryError(f"{path} has no judgements; give rows of query, item_id and {'event' if events else 'grade'}")
    return table.queries()


class _JudgementTable:
    """Judgements as they are read; `add` says what is wrong with a row."""

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
        return [JudgedQuery(key, *asked, grades=self._grades[key]) for key, asked in self._query_parts.items()]

    def _grade(self, row: Row) -> int | str:
        if not self._events:
            value = _cell(row, "grade")
            if value is None:
                return (
                    "it has no grade; give 0 for an item that does not answer the query, 1 and more for one that does"
                )
            return _whole("grade", value)
        weight = _cell(row, "weight")
        if weight is not None:
            return _whole("weight", weight)
        event = str(_cell(row, "event") or "").strip().lower()
        if event not in EVENT_GRADES:
            return f"event {event!r} is not one of {', '.join(EVENT_GRADES)}; name one of them, or give a weight"
        return EVENT_GRADES[event]


def _whole(name: str, value: object) -> int | str:
    """A grade or weight, or what is wrong with it."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not number.is_integer() or not 0 <= number <= MAX_GRADE:
        return f"{name} {value!r} is not a whole number from 0 to {MAX_GRADE}; 0 is for an item that does not answer"
    return int(number)


def _cell(row: Row, ours: str) -> object:
    return next((row[name] for name in COLUMNS[ours] if row.get(name) is not None), None)


def _text(value: object) -> str | None:
    """A cell as text; a number keeps no trailing .0, so that an id is the same in CSV, JSON and Parquet."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value).strip() or None
