"""What the page shows beside searches: what the database holds, the map of its items, and what failed to index."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from firstsight.retrieval.pages.space_map import Colouring, Method, SpaceMap, space_map
from firstsight.retrieval.ranking.item_filters import blocked_items
from firstsight.service.json_responses import public_encoder_name, strip_local_folders
from firstsight.storage.store import Store
from firstsight.storage.tables import SAFETY_COLUMNS

T = TypeVar("T")

FRESH_S = 60.0
"""How long an answer over all items stands while the items change: an index run commits every few seconds."""

SAMPLED_ROWS = 20_000
"""Rows that are read to offer values for a filter."""

MAX_VALUES = 40
"""Different values up to which a column's are offered to choose from."""


class AnswerCache:
    """Answers that cost seconds, kept until the items have changed and a minute has passed; each is made once.

    For any number of threads.
    """

    def __init__(self, fresh_s: float = FRESH_S, max_answers: int = 16) -> None:
        self._fresh_s = fresh_s
        self._max_answers = max_answers
        self._kept: dict[tuple[Any, ...], tuple[int, float, Any]] = {}
        self._making: dict[tuple[Any, ...], threading.Lock] = {}
        self._lock = threading.Lock()

    def cached(self, key: tuple[Any, ...], store: Store) -> Any | None:
        """The kept answer to `key`; None where there is none that stands."""
        found = self._kept.get(key)
        if found is not None and (found[0] == int(store.items.version) or time.monotonic() - found[1] < self._fresh_s):
            return found[2]
        return None

    def get(
        self, key: tuple[Any, ...], reading: Callable[[], AbstractContextManager[Store]], make: Callable[[Store], T]
    ) -> T:
        """The kept answer to `key`, or a new one; who asks for the same while it is made waits for it.

        Args:
            reading: gives a store to read; who waits holds none, so that searches have theirs.
        """
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making, reading() as store:
            kept: T | None = self.cached(key, store)
            if kept is not None:
                return kept
            version = int(store.items.version)
            made = make(store)
            with self._lock:
                self._kept.pop(key, None)
                self._kept[key] = (version, time.monotonic(), made)
                while len(self._kept) > self._max_answers:
                    oldest = next(iter(self._kept))
                    del self._kept[oldest]
                    self._making.pop(oldest, None)
            return made


def describe_catalogue(store: Store) -> dict[str, Any]:
    """What there is to search and to filter by.

    Returns:
        items and views, how many; encoder, its name; columns: for each of the catalogue's own its name, its kind, and
        `values`: what it holds, the most frequent first, where that is little enough to choose from.
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
        "columns": [{"name": name, "kind": kind, "values": values.get(name, [])} for name, kind in kinds.items()],
    }


def map_data(store: Store, *, sample: int, method: Method) -> dict[str, Any]:
    """Items on a plane, as JSON has it.

    Args:
        sample, method: as `firstsight.retrieval.pages.space_map.space_map`.

    Returns:
        points: [x, y, item_id, title, kind] each, x and y from 0 to 1; decisions: one a point, "allow", "review" or
        "block"; colourings: for each column and for decision and policy, its labels, a code a point, and whether
        labels rise; total: how many items the points are drawn from; method.

    Raises:
        QueryError, OptionalDependencyError: as `space_map`.
    """
    made = space_map(store, sample=sample, method=method)
    rows = store.safety_rows([point.item_id for point in made.points])
    decisions = [rows.get(point.item_id, {}).get("safety_decision", "allow") for point in made.points]
    points = [
        [round(p.x, 5), round(p.y, 5), p.item_id, p.title, dict(p.columns).get("kind", "product")] for p in made.points
    ]
    return {
        "points": points,
        "decisions": decisions,
        "colourings": [
            _colouring_as_json(one) for one in (*_column_colourings(made), *_safety_colourings(made, decisions, rows))
        ],
        "total": made.total,
        "method": made.method,
    }


def find_decisions(store: Store, item_ids: Sequence[str]) -> dict[str, str]:
    """Those of these items that are blocked or in review, with which of the two."""
    return {item_id: str(row["safety_decision"]) for item_id, row in store.safety_rows(item_ids).items()}


def find_blocked(store: Store, item_ids: Sequence[str]) -> Collection[str]:
    """Ids with all of these that are blocked, as of the last commit."""
    known = blocked_items(store)
    return store.blocked(item_ids) if known is None else known


def remove_blocked(data: Mapping[str, Any], blocked: Collection[str]) -> dict[str, Any]:
    """A map without the items that a safety decision keeps out: those of when it was made, and those of now."""
    places = enumerate(zip(data["points"], data["decisions"], strict=True))
    kept = [place for place, (point, decision) in places if decision != "block" and point[2] not in blocked]
    if len(kept) == len(data["decisions"]):
        return dict(data)
    return {
        **data,
        "points": [data["points"][place] for place in kept],
        "decisions": [data["decisions"][place] for place in kept],
        "colourings": [one | {"codes": [one["codes"][place] for place in kept]} for one in data["colourings"]],
    }


def failures(rows: Sequence[Mapping[str, Any]], *, reason: str | None, offset: int, k: int) -> dict[str, Any]:
    """A page of what failed to index, the last seen first, with how many there are of each reason.

    Args:
        rows: `Database.failures()`.
        reason: only these; one of `firstsight.errors.FAILURE_REASONS`.

    Returns:
        total, reasons and failures; folders of local files are left out, in `uri` and in `message`.
    """
    counts = Counter(row["reason"] for row in rows)
    some = sorted(
        (row for row in rows if reason in (None, row["reason"])), key=lambda row: row["last_seen"], reverse=True
    )
    return {
        "total": len(some),
        "reasons": dict(counts.most_common()),
        "failures": [
            {
                **{name: row[name] for name in ("item_id", "stage", "reason", "attempts")},
                "uri": strip_local_folders(row["uri"]),
                "message": strip_local_folders(row["message"]),
                "last_seen": row["last_seen"].isoformat(),
            }
            for row in some[offset : offset + k]
        ],
    }


def _values(values: Sequence[object]) -> list[str]:
    counts = Counter(str(value) for value in values if value is not None)
    return [value for value, _ in counts.most_common()] if len(counts) <= MAX_VALUES else []


def _column_colourings(made: SpaceMap) -> list[Colouring]:
    return [one for one in made.colourings if one.column not in SAFETY_COLUMNS]


def _safety_colourings(
    made: SpaceMap, decisions: Sequence[str], rows: Mapping[str, Mapping[str, Any]]
) -> list[Colouring]:
    """What was decided, and the policy that stands out of what is not simply shown."""
    if not rows:
        return []
    tops = {item_id: _top_policy(row.get("safety_scores")) for item_id, row in rows.items()}
    return [
        _by_frequency("decision", decisions),
        _by_frequency("policy", [tops.get(point.item_id, "none") for point in made.points]),
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
