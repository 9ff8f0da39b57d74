"""Data of the gallery page: catalogue columns, the map of the items, and failures."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from firstsight.api.items import Failure
from firstsight.retrieval.pages.map_colouring import Colouring
from firstsight.retrieval.pages.space_map import Method, SpaceMap, space_map
from firstsight.service.json_responses import public_encoder_name, strip_local_folders
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store
from firstsight.storage.tables import SAFETY_COLUMNS

T = TypeVar("T")

FRESH_S = 60.0
"""Seconds that an answer over all items stays cached while items change: an index run commits every few seconds."""

SAMPLED_ROWS = 20_000
"""Rows read to find the values of a filter."""

MAX_VALUES = 40
"""Maximum different values of a column that the page offers to choose from."""


class AnswerCache:
    """Thread-safe cache of answers that take seconds to compute. Each answer is computed by one thread.

    Args:
        fresh_s: seconds that an answer stays valid after the items change. It stays valid while they do not change.
        max_answers: maximum answers in the cache; the oldest are dropped.
    """

    def __init__(self, fresh_s: float = FRESH_S, max_answers: int = 16) -> None:
        self._fresh_s = fresh_s
        self._max_answers = max_answers
        self._answers: dict[tuple[Any, ...], tuple[int, float, Any]] = {}
        self._making: dict[tuple[Any, ...], threading.Lock] = {}
        self._lock = threading.Lock()

    def cached(self, key: tuple[Any, ...], store: Store) -> Any | None:
        """Return the cached answer for `key`; None if there is no valid one."""
        if (entry := self._answers.get(key)) is None:
            return None
        version, made_at, answer = entry
        return answer if version == store.items_version or time.monotonic() - made_at < self._fresh_s else None

    def get(
        self, key: tuple[Any, ...], reading: Callable[[], AbstractContextManager[Store]], make: Callable[[Store], T]
    ) -> T:
        """Return the cached answer for `key`, or compute it. Threads that need the same answer wait for the first.

        Args:
            key: name and arguments of the answer.
            reading: opens a store for reading. Waiting threads hold no store, so searches are not delayed.
            make: computes the answer from the store.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making, reading() as store:
            cached: T | None = self.cached(key, store)
            if cached is not None:
                return cached
            version = store.items_version
            try:
                answer = make(store)
            except BaseException:
                with self._lock:  # each wrong request has a key of its own
                    self._making.pop(key, None)
                raise
            with self._lock:
                self._answers.pop(key, None)
                self._answers[key] = (version, time.monotonic(), answer)
                while len(self._answers) > self._max_answers:
                    oldest = next(iter(self._answers))
                    del self._answers[oldest]
                    self._making.pop(oldest, None)
            return answer


def describe_catalogue(store: Store) -> dict[str, Any]:
    """Describe the catalogue for search and filters.

    Returns:
        items and views: their counts; encoder: its name; kinds: the kinds of the items; products: whether the catalogue
        has ids of products, so that results show one variant of each; columns: name, kind and `values` of each column
        of the catalogue. `values` lists the values, most frequent first; it is empty for a column that is not text or
        has more than `MAX_VALUES` values.
    """
    kinds = store.column_kinds()
    texts = [name for name, kind in kinds.items() if kind == "text"]
    sample = store.items.search().select(["kind", *texts]).limit(SAMPLED_ROWS).to_arrow()
    values = {name: _values(sample[name].to_pylist()) for name in ("kind", *texts)}
    return {
        "items": store.items.count_rows(),
        "views": store.views.count_rows(),
        "encoder": public_encoder_name(store.spec.name),
        "kinds": values["kind"],
        "products": GROUP_COLUMN in kinds,
        "columns": [{"name": name, "kind": kind, "values": values.get(name, [])} for name, kind in kinds.items()],
    }


def map_data(store: Store, *, sample: int, method: Method) -> dict[str, Any]:
    """Compute the map of the items.

    Args:
        store: the store to read.
        sample: maximum number of points.
        method: projection, as in `firstsight.retrieval.pages.space_map.space_map`.

    Returns:
        points: [x, y, item_id, title, kind] for each item, with x and y from 0 to 1; decisions: "allow", "review" or
        "block" for each point; colourings: for each column, decision and policy, the labels, one code per point, and
        whether the labels are ordered; total: number of items in the database; method.

    Raises:
        QueryError: `sample` is out of range, or no item has a vector.
        OptionalDependencyError: the package of `method` is not installed.
    """
    plane = space_map(store, sample=sample, method=method)
    rows = store.safety_rows([point.item_id for point in plane.points])
    decisions = [rows.get(point.item_id, {}).get("safety_decision", "allow") for point in plane.points]
    points = [
        [round(p.x, 5), round(p.y, 5), p.item_id, p.title, dict(p.columns).get("kind", "product")] for p in plane.points
    ]
    return {
        "points": points,
        "decisions": decisions,
        "colourings": [
            _colouring_as_json(colouring)
            for colouring in (*_column_colourings(plane), *_safety_colourings(plane, decisions, rows))
        ],
        "total": plane.total,
        "method": plane.method,
    }


def remove_blocked(data: Mapping[str, Any], blocked: Collection[str]) -> dict[str, Any]:
    """Remove items from a map that were blocked when it was made, or are in `blocked` now."""
    places = enumerate(zip(data["points"], data["decisions"], strict=True))
    kept = [place for place, (point, decision) in places if decision != "block" and point[2] not in blocked]
    if len(kept) == len(data["decisions"]):
        return dict(data)
    return {
        **data,
        "points": [data["points"][place] for place in kept],
        "decisions": [data["decisions"][place] for place in kept],
        "colourings": [
            colouring | {"codes": [colouring["codes"][place] for place in kept]} for colouring in data["colourings"]
        ],
    }


def failures(rows: Sequence[Failure], *, reason: str | None, offset: int, k: int) -> dict[str, Any]:
    """Make a page of failures, latest first.

    Args:
        rows: from `db.indexing.failures()`.
        reason: keep only this reason, one of `firstsight.errors.FAILURE_REASONS`; None keeps all.
        offset: failures to skip.
        k: maximum failures of the page.

    Returns:
        total: failures of the reason; reasons: count per reason; failures: the page. `uri` and `message` have no local
        folders.
    """
    counts = Counter(row.reason for row in rows)
    matching = sorted(
        (row for row in rows if reason in (None, row.reason)), key=lambda row: row.last_seen, reverse=True
    )
    return {
        "total": len(matching),
        "reasons": dict(counts.most_common()),
        "failures": [
            {
                "item_id": row.item_id,
                "stage": row.stage,
                "reason": row.reason,
                "attempts": row.attempts,
                "uri": strip_local_folders(row.uri),
                "message": strip_local_folders(row.message),
                "last_seen": row.last_seen.isoformat(),
            }
            for row in matching[offset : offset + k]
        ],
    }


def _values(values: Sequence[object]) -> list[str]:
    counts = Counter(str(value) for value in values if value is not None)
    return [value for value, _ in counts.most_common()] if len(counts) <= MAX_VALUES else []


def _column_colourings(plane: SpaceMap) -> list[Colouring]:
    return [colouring for colouring in plane.colourings if colouring.column not in SAFETY_COLUMNS]


def _safety_colourings(
    plane: SpaceMap, decisions: Sequence[str], rows: Mapping[str, Mapping[str, Any]]
) -> list[Colouring]:
    """Colourings by decision, and by the policy with the highest score."""
    if not rows:
        return []
    tops = {item_id: _top_policy(row.get("safety_scores")) for item_id, row in rows.items()}
    return [
        _by_frequency("decision", decisions),
        _by_frequency("policy", [tops.get(point.item_id, "none") for point in plane.points]),
    ]


def _top_policy(scores: str | None) -> str:
    known = {policy: score for policy, score in json.loads(scores or "{}").items() if score is not None}
    return max(known, key=lambda policy: (known[policy], policy), default="none")


def _by_frequency(column: str, values: Sequence[str]) -> Colouring:
    labels = [value for value, _ in Counter(values).most_common()]
    place = {label: n for n, label in enumerate(labels)}
    return Colouring(column, tuple(labels), tuple(place[value] for value in values), ordered=False)


def _colouring_as_json(colouring: Colouring) -> dict[str, Any]:
    return {
        "column": colouring.column,
        "labels": list(colouring.labels),
        "codes": list(colouring.codes),
        "ordered": colouring.ordered,
    }
