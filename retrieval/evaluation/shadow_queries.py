"""The queries of a comparison of encoders: from a file, from the events, or from the titles of items."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from firstsight.errors import QueryError
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.storage.store import Store


def read_queries(path: Path) -> list[JudgedQuery]:
    """Read a file of queries: one text a line, or one JSON object a line with `text` (or `query`).

    Raises:
        QueryError: the file cannot be read, or a line of it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path} cannot be read ({error}); give a text file with one query a line") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            text = _parse(path, number, line.strip()) if line.lstrip().startswith("{") else line.strip()
            found.append(text)
    return text_queries(found)


def _parse(path: Path, number: int, line: str) -> str:
    try:
        plain = json.loads(line)
    except ValueError as error:
        raise QueryError(f"{path}: line {number} is no JSON ({error})") from None
    text = plain.get("text", plain.get("query"))
    if not isinstance(text, str) or not text.strip():
        raise QueryError(f'{path}: line {number} has no text; give an object such as {{"text": "red shoes"}}')
    return text.strip()


def frequent_queries(texts: Iterable[str], count: int) -> list[JudgedQuery]:
    """The most frequent of logged queries."""
    counted = Counter(text.strip() for text in texts if text.strip())
    return text_queries([text for text, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:count]])


def title_queries(store: Store, count: int, seed: int) -> list[JudgedQuery]:
    """Titles of random items, each different one once."""
    rows = store.items.search().where("title IS NOT NULL").select(["title"]).limit(None).to_arrow()
    titles = sorted({str(title).strip() for title in rows["title"].to_pylist()} - {""})
    chosen = np.random.default_rng(seed).permutation(len(titles))[:count]
    return text_queries([titles[number] for number in chosen])


def text_queries(texts: Sequence[str]) -> list[JudgedQuery]:
    """Queries without judgements, each different text once."""
    return [JudgedQuery(str(number), text, None) for number, text in enumerate(dict.fromkeys(texts))]
