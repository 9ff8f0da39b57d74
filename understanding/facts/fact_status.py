"""Which facts the items of a database have, lack, or have of an earlier version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.indexer.facts.view_facts import FACTS_STAGE
from firstsight.media.picture_facts import PictureFact
from firstsight.records import Record
from firstsight.storage.facts.view_fact_table import all_view_facts, read_view_facts
from firstsight.storage.sql.conditions import is_in, quote_name
from firstsight.storage.store import Store
from firstsight.understanding.facts.fact_kind import FactKind, version_of

MAX_COUNTED: Final = 10_000
"""Items up to which an index run counts those that lack a fact."""

SAMPLED_ITEMS: Final = 2_000
"""Items from which the number is estimated in a larger database."""

_ITEMS_PER_READ: Final = 1_000


@dataclass(frozen=True)
class FactState(Record):
    """One kind of fact in a database."""

    name: str  # of the kind, such as "colours"
    version: str  # of its function; empty for a kind that reads texts
    of: str  # "pictures" or "items"
    total: int  # pictures and frames that it looks at, or items
    found: int  # of them with the fact in this version; of items: with a value
    outdated: int  # with the fact in an earlier version
    missing: int  # neither
    failed: int  # media whose function failed, of `missing`


def fact_states(store: Store, kinds: Sequence[FactKind], complete: dict[str, str]) -> list[FactState]:
    """Count the facts of each kind.

    Args:
        kinds: those that are on.
        complete: kinds that all items have, with their versions: items without a value are not missing then.
    """
    functions = {kind.name: kind.picture_fact for kind in kinds if kind.picture_fact is not None}
    found, outdated = _found(store, list(functions.values()))
    failed = _failed(store)
    states = []
    for kind in filter(has_state, kinds):
        fact = functions.get(kind.name)
        if fact is None:
            states.append(_items_state(store, kind, complete.get(kind.name) == version_of(kind)))
            continue
        total = store.views.count_rows(is_in("part", fact.parts))
        missing = max(0, total - found[fact.name] - outdated[fact.name])
        states.append(
            FactState(
                *(kind.name, fact.version, "pictures", total, found[fact.name], outdated[fact.name]),
                *(missing, failed[fact.name]),
            )
        )
    return states


def count_items_without(store: Store, kinds: Sequence[FactKind], complete: dict[str, str]) -> dict[str, int]:
    """Number of stored items that lack a fact, by the name of the kind; kinds that all items have are left out.

    An index run ends with it, so it reads no table of facts as a whole: of more than `MAX_COUNTED` items, the number is
    estimated from `SAMPLED_ITEMS` of them.
    """
    lacking = {}
    ids: list[str] | None = None
    for kind in kinds:
        if complete.get(kind.name) == version_of(kind) or not has_state(kind):
            continue
        if kind.picture_fact is None:
            count = _items_state(store, kind, False).missing
        else:
            ids = _ids_to_look_at(store) if ids is None else ids
            count = _scaled(_count_without(store, kind.picture_fact, ids), len(ids), store.items.count_rows())
        if count:
            lacking[kind.name] = count
    return lacking


def has_state(kind: FactKind) -> bool:
    """Whether items can lack a kind: tags are scored by a command of their own, and a tag may be unknown."""
    return kind.picture_fact is not None or (bool(kind.fields) and kind.name != "tags")


def _ids_to_look_at(store: Store) -> list[str]:
    total = store.items.count_rows()
    if total <= MAX_COUNTED:
        return [item_id for ids in store.item_ids() for item_id in ids]
    places = [n * total // SAMPLED_ITEMS for n in range(SAMPLED_ITEMS)]
    sample = store.items.take_offsets(places).select(["item_id"]).to_arrow()
    return [str(item_id) for item_id in sample["item_id"].to_pylist()]


def _count_without(store: Store, fact: PictureFact, ids: Sequence[str]) -> int:
    """Number of these items with pictures that no picture has the fact of."""
    lacking = 0
    for start in range(0, len(ids), _ITEMS_PER_READ):
        part = ids[start : start + _ITEMS_PER_READ]
        of_parts = is_in("part", fact.parts)
        owners: dict[str, str] = {}
        for rows in store.rows_by_id(store.views, part, columns=["view_id", "item_id"], condition=of_parts):
            owners |= {str(row["view_id"]): str(row["item_id"]) for row in rows.to_pylist()}
        items = set(owners.values())
        for view_id, facts in read_view_facts(store, part).items():
            if fact.name in facts and facts[fact.name]["version"] == fact.version:
                items.discard(owners.get(view_id, ""))
        lacking += len(items)
    return lacking


def _scaled(count: int, looked_at: int, total: int) -> int:
    """Number of all items; an estimate has two digits that count."""
    if looked_at == total or not count:
        return count
    estimate = count * total / looked_at
    return int(float(f"{estimate:.2g}"))


def _items_state(store: Store, kind: FactKind, is_complete: bool) -> FactState:
    total = store.items.count_rows()
    stored = [field.name for field in kind.fields if field.name in store.items.schema.names]
    empty = " AND ".join(f"{quote_name(name)} IS NULL" for name in stored)
    without = store.items.count_rows(empty) if empty else total
    return FactState(kind.name, "", "items", total, total - without, 0, 0 if is_complete else without, 0)


def _found(store: Store, facts: Sequence[PictureFact]) -> tuple[Counter[str], Counter[str]]:
    found: Counter[str] = Counter()
    outdated: Counter[str] = Counter()
    for rows in all_view_facts(store):
        for view_id, _, stored in rows:
            part = view_id.rpartition("#")[2].partition("-")[0]
            for fact in facts:
                if fact.name in stored and part in fact.parts:
                    is_current = stored[fact.name]["version"] == fact.version
                    (found if is_current else outdated)[fact.name] += 1
    return found, outdated


def _failed(store: Store) -> Counter[str]:
    failed: Counter[str] = Counter()
    search = store.failures.search().where(f"stage = '{FACTS_STAGE}'").select(["message"]).limit(None)
    for message in search.to_arrow()["message"].to_pylist():
        for part in str(message).split("the fact ")[1:]:
            failed[part.partition(" ")[0]] += 1
    return failed
