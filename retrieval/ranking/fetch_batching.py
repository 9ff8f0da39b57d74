"""Run the rankings of several queries together, so that their row requests share database calls.

A ranking is a generator. It yields one or more `FetchRequest`s and receives the nearest rows of each. `run_rankings`
advances all generators in rounds and answers the equal requests of a round with one call of `nearest_rows`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from firstsight.encoders.base import Vector
from firstsight.errors import FirstsightError
from firstsight.storage.indexes.vector_index import nearest_rows
from firstsight.storage.store import Store

TableName: TypeAlias = Literal["items", "views"]
Rows: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True)
class FetchRequest:
    """Request for the nearest rows of one vector; see `nearest_rows`."""

    table: TableName
    vector: Vector  # (dim,) of unit length
    k: int  # number of rows
    condition: str | None  # SQL filter
    columns: tuple[str, ...]  # columns to read


T = TypeVar("T")
FetchGenerator: TypeAlias = Generator[Sequence[FetchRequest], Sequence[Rows], T]
"""A ranking that yields requests, receives the rows of each request, and returns a T."""


def run_rankings(store: Store, rankings: Sequence[FetchGenerator[T]]) -> list[T | FirstsightError]:
    """Run rankings in parallel rounds, with as few database calls as possible.

    Returns:
        For each ranking its return value, or the FirstsightError that ended it.
    """
    answers: dict[int, T | FirstsightError] = {}
    responses: dict[int, Sequence[Rows] | Exception | None] = dict.fromkeys(range(len(rankings)))
    while responses:
        requests: dict[int, Sequence[FetchRequest]] = {}
        for n, rows in responses.items():
            try:
                requests[n] = rankings[n].throw(rows) if isinstance(rows, Exception) else _send(rankings[n], rows)
            except StopIteration as end:
                answers[n] = end.value
            except FirstsightError as error:
                answers[n] = error
        responses = _fetch(store, requests)
    return [answers[n] for n in range(len(rankings))]


def _send(ranking: FetchGenerator[T], rows: Sequence[Rows] | None) -> Sequence[FetchRequest]:
    return next(ranking) if rows is None else ranking.send(rows)


def _fetch(
    store: Store, requests: Mapping[int, Sequence[FetchRequest]]
) -> dict[int, Sequence[Rows] | Exception | None]:
    """Answer the requests of each ranking: with the rows of each request, or with the error of one of them."""
    groups: dict[tuple[TableName, int, str | None, tuple[str, ...]], list[tuple[int, int]]] = {}
    for n, of_ranking in requests.items():
        for place, request in enumerate(of_ranking):
            key = (request.table, request.k, request.condition, request.columns)
            groups.setdefault(key, []).append((n, place))
    found: dict[tuple[int, int], Rows] = {}
    errors: dict[int, Exception] = {}
    for (table, k, condition, columns), members in groups.items():
        vectors = np.stack([requests[n][place].vector for n, place in members])
        try:
            # LanceDB compares rows in all cores, so requests in parallel threads would not be faster
            rows = nearest_rows(store, table, vectors, k=k, condition=condition, columns=columns)
            found.update(zip(members, rows, strict=True))
        except (ValueError, RuntimeError, OSError) as error:
            errors.update((n, error) for n, _ in members)
    return {
        n: errors[n] if n in errors else [found[n, place] for place in range(len(of_ranking))]
        for n, of_ranking in requests.items()
    }
