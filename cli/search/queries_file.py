"""Answers to a file of queries, one JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from firstsight.errors import FirstsightError, QueryError

if TYPE_CHECKING:
    from firstsight import Database, Query, SearchResults

BATCH_LINES = 256
"""Lines that are answered before the next ones are read."""


def answer_file(database: Database, path: Path) -> Iterator[dict[str, Any]]:
    """Answer each line with `line`, its `id` if any, and `results` with `snapshot`.

    A line that fails has an `error` instead; the other lines are not affected.
    """
    try:
        file = sys.stdin if str(path) == "-" else path.open(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read ({error.strerror})", param_hint="--queries") from None
    with file:
        numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        while batch := list(islice(numbered, BATCH_LINES)):
            parsed = [_parse(number, line) for number, line in batch]
            queries = [query for _, query in parsed if not isinstance(query, QueryError)]
            answers = iter(database.search_many(queries, on_error="return"))
            for head, query in parsed:
                answer: FirstsightError | SearchResults = query if isinstance(query, QueryError) else next(answers)
                if isinstance(answer, FirstsightError):
                    yield head | {"error": str(answer)}
                else:
                    ranker = {} if answer.reranker is None else {"reranker": answer.reranker}
                    head |= {"snapshot": answer.snapshot} | ranker
                    head |= {} if answer.understood is None else {"understood": answer.understood}
                    yield head | {"results": [r.to_dict() for r in answer]}


def _parse(number: int, line: str) -> tuple[dict[str, Any], Query | QueryError]:
    """Read a line: its number and id, and the query or its error."""
    from firstsight import Query

    head: dict[str, Any] = {"line": number}
    try:
        plain = json.loads(line)
    except ValueError as error:
        return head, QueryError(f"line {number} is no JSON ({error})")
    if isinstance(plain, dict) and "id" in plain:
        head["id"] = plain.pop("id")
    try:
        return head, Query.from_dict(plain)
    except QueryError as error:
        return head, error
