"""Numbers of items for each value of a fact or tag, under the filters of a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.retrieval.ranking.item_filters import NOT_BLOCKED, build_condition, not_expired
from firstsight.storage.columns import kind_of_arrow
from firstsight.storage.facts.fact_names import FACTS, TAGS, FactNames
from firstsight.storage.sql.conditions import quote_name
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.tag_names import VALUES, has_tags

MAX_COUNTED: Final = 100_000
"""Items that are counted; of larger selections, the first ones."""

MAX_FACET_VALUES: Final = 24
"""Values of one facet in an answer, the most frequent ones."""

CATEGORY: Final = "category"

_PLAIN_FACTS: Final = ("colour", "language", "quality.problems", "ocr_text")


@dataclass(frozen=True)
class _Facet:
    name: str  # in filters, such as "colour" or "tags.category"
    sql: str  # of its value
    separator: str | None = None  # of several values in one text
    is_text: bool = False  # whether its values are "yes" and "no"


def count_facets(
    store: Store, *, where: str | None, kinds: Sequence[str], selected: Mapping[str, str | None], moderates: bool
) -> dict[str, Any]:
    """Count the items by their facts and tags; the counts of a facet ignore the selection in it.

    Args:
        store: the store to read.
        where: an SQL condition; None for all items.
        kinds: "product", "video", "live"; none means all of them.
        selected: selected values by the name of their facet; None for items without a value.
        moderates: whether blocked items are counted.

    Returns:
        items: number of counted items with all selections; complete: whether that is all of them; facets: for each one
        its name for filters, whether an item may have several values, and its values, most frequent first, with counts.
        The value null counts items of which the fact is unknown. The facet `ocr_text` has the values "yes" and "no".

    Raises:
        QueryError: the condition is wrong, or there is no such facet.
    """
    facets = _facets(store)
    if unknown := selected.keys() - {facet.name for facet in facets}:
        known = ", ".join(facet.name for facet in facets) or "none"
        raise QueryError(f"there is no facet {min(unknown)!r}; the facets are {known}")
    conditions = [build_condition(store, where, kinds), not_expired(datetime.now(UTC))]
    if not moderates and "safety_decision" in store.items.schema.names:
        conditions.append(NOT_BLOCKED)
    condition = " AND ".join(part for part in conditions if part)
    columns = {f"f{n}": facet.sql for n, facet in enumerate(facets)}
    rows = store.items.search().where(condition).select({"item_id": "item_id", **columns}).limit(MAX_COUNTED).to_arrow()
    columns_of_values = [_split(rows[f"f{n}"].to_pylist(), facet) for n, facet in enumerate(facets)]
    chosen = {
        facet.name: _has(values, selected[facet.name])
        for facet, values in zip(facets, columns_of_values, strict=True)
        if facet.name in selected
    }
    everything = np.ones(len(rows), dtype=bool)
    return {
        "items": int(np.logical_and.reduce([everything, *chosen.values()]).sum()),
        "complete": len(rows) < MAX_COUNTED,
        "facets": [
            {
                "name": facet.name,
                "several": facet.separator is not None,
                "values": _count(values, [everything, *_others(chosen, facet.name)]),
            }
            for facet, values in zip(facets, columns_of_values, strict=True)
        ],
    }


def _facets(store: Store) -> list[_Facet]:
    """The facts and tags that the database has, and the catalogue's own category if there is no tag of that name."""
    schema = store.items.schema
    sql = {name.removeprefix(f"{FACTS}."): (name, expression) for name, _, expression in FactNames(schema).shown()}
    found = []
    for name in _PLAIN_FACTS:
        if name in sql:
            shown, expression = sql[name]
            if name == "ocr_text":  # the texts themselves are long
                found.append(_Facet(shown, f"left({expression}, 1)", is_text=True))
            else:
                found.append(_Facet(shown, expression, "," if name == "quality.problems" else None))
    multi = _multi_label_tags(store)
    for name, (shown, expression) in sql.items():
        tag = name.removeprefix(f"{TAGS}.")
        if tag != name and not tag.endswith(("_p", "_by")):
            found.append(_Facet(shown, expression, VALUES if tag in multi else None))
    own = [field for field in schema if field.name == CATEGORY and kind_of_arrow(field.type) == "text"]
    if own and f"{TAGS}.{CATEGORY}" not in sql:
        found.append(_Facet(CATEGORY, quote_name(CATEGORY)))
    return found


def _multi_label_tags(store: Store) -> set[str]:
    if not has_tags(store):
        return set()
    from firstsight.understanding.tags.models.tag_model import TagShelf  # imports scipy: only if there are tags

    return {tag for tag, model in TagShelf(store).in_use().items() if model.multi}


def _split(texts: Iterable[str | None], facet: _Facet) -> list[tuple[str, ...] | None]:
    """Values of each item; None for unknown."""
    if facet.is_text:
        return [None if text is None else ("yes" if text else "no",) for text in texts]
    if facet.separator is None:
        return [None if text is None else (text,) for text in texts]
    return [None if text is None else tuple(text.split(facet.separator)) for text in texts]


def _has(values: Sequence[tuple[str, ...] | None], value: str | None) -> NDArray[np.bool_]:
    """Which items have a value; None: which have none."""
    if value is None:
        return np.array([found is None for found in values], dtype=bool)
    return np.array([found is not None and value in found for found in values], dtype=bool)


def _others(chosen: Mapping[str, NDArray[np.bool_]], name: str) -> list[NDArray[np.bool_]]:
    return [mask for other, mask in chosen.items() if other != name]


def _count(values: Sequence[tuple[str, ...] | None], masks: Sequence[NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """The values of the selected items with their counts, most frequent first; null last."""
    kept = Counter(values[place] for place in np.flatnonzero(np.logical_and.reduce(masks)).tolist())
    unknown = kept.pop(None, 0)
    counts: Counter[str] = Counter()
    for found, count in kept.items():
        counts.update(dict.fromkeys(found or (), count))
    first = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:MAX_FACET_VALUES]
    listed: list[dict[str, Any]] = [{"value": value, "count": count} for value, count in first]
    return [*listed, {"value": None, "count": unknown}] if unknown else listed
