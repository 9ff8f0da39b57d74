"""Change the type of a stored column of the catalogue, such as a text column that has only numbers now.

LanceDB casts between numbers only, so a conversion has three commits:

1. add a column with the converted values, computed by LanceDB in SQL,
2. exchange the names of both columns,
3. drop the column with the old values.

No row is rewritten, so the indexes of other columns stay, and readers of an earlier version keep the old type. After a
kill, the next writer drops the column that is left (`drop_unfinished_conversion`): before step 2 the column has its old
type and all its values, after it the new type.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lancedb.table import Table

from firstsight.errors import StoreError
from firstsight.storage import tables
from firstsight.storage.columns import (
    EXACT_NUMBER,
    FALSE_TEXTS,
    NUMBER_TEXT,
    TRUE_TEXTS,
    ColumnKind,
    kind_of_arrow,
)
from firstsight.storage.sql.conditions import is_in, quote, quote_name
from firstsight.storage.store import Store

NEW, OLD = tables.CONVERSION_COLUMNS

CHOSEN_KEY: Final = "firstsight:type"
"""Key in the metadata of a column whose type a user has chosen; later runs do not change it by themselves."""

ROWS_PER_BATCH: Final = 10_000


@dataclass(frozen=True)
class Misfits:
    """Stored values that do not fit another type."""

    count: int = 0  # without values that the run writes again
    replaced: int = 0  # those values
    item_id: str = ""  # of the first one
    value: object = None  # the first one


def find_misfits(
    store: Store,
    name: str,
    fits: Callable[[object], bool],
    *,
    replaced: Callable[[Sequence[str]], set[str]] = lambda ids: set(),
    first_only: bool = False,
) -> Misfits:
    """Look for stored values of a column that do not fit another type; reads this column and the ids.

    Args:
        fits: whether a value fits; called once for each different value of 10,000 rows.
        replaced: from item ids, those whose values do not count, because the run writes them again.
        first_only: stop at the first one; the count is then at most 1.
    """
    count, written_again, first = 0, 0, Misfits()
    for ids, values in _batches(store, name):
        fitting = {value: fits(value) for value in set(values)}
        wrong = [n for n, value in enumerate(values) if not fitting[value]]
        spared = replaced([ids[n] for n in wrong]) if wrong else set()
        left = [n for n in wrong if ids[n] not in spared]
        if left and not count:
            first = Misfits(1, 0, ids[left[0]], values[left[0]])
        count += len(left)
        written_again += len(wrong) - len(left)
        if count and first_only:
            return first
    return Misfits(count, written_again, first.item_id, first.value)


def convert_column(store: Store, name: str, kind: ColumnKind, *, misfits: int = 0) -> None:
    """Change the type of a column; values that do not fit become null. The caller holds the writer lock.

    Args:
        name: a column of the catalogue.
        kind: its new kind. Text is possible for all values; for other kinds see `columns.reinterpret`.
        misfits: number of values that do not fit, from `find_misfits`.

    Raises:
        StoreError: more values would become null, or the database cannot be written; the column keeps its type.
    """
    before = store.column_kinds()[name]
    if before == kind:
        return
    drop_unfinished_conversion(store)
    stored = (store.items.schema.field(name).metadata or {}).items()
    metadata: dict[str, Any] = {"path": NEW, "metadata": {key.decode(): value.decode() for key, value in stored}}

    renames: list[dict[str, Any]] = [{"path": name, "rename": OLD}, {"path": NEW, "rename": name}]

    def add(items: Table) -> None:
        if NEW not in items.schema.names:
            items.add_columns({NEW: _expression(name, before, kind)})

    def describe(items: Table) -> None:
        if metadata["metadata"]:
            items.update_field_metadata(metadata)

    def exchange(items: Table) -> None:
        if OLD not in items.schema.names:
            items.alter_columns(*renames)  # type: ignore[arg-type]  # its hint takes the rest as one argument

    with _writing(store, name):
        store.maintain(store.items, add)
        nulls = store.items.count_rows(f"{quote_name(name)} IS NOT NULL AND {quote_name(NEW)} IS NULL")
        if nulls > misfits:
            drop_unfinished_conversion(store)
            raise StoreError(
                f"{store.uri}: column {name!r} keeps its type {before}: {nulls:,} values would be lost as {kind}, "
                f"{misfits:,} were expected; run again"
            )
        store.maintain(store.items, describe)
        store.maintain(store.items, exchange)
    store.note_all_changed()
    drop_unfinished_conversion(store)


def drop_unfinished_conversion(store: Store) -> None:
    """Drop what a conversion has left; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """

    def drop(items: Table) -> None:
        left = [name for name in tables.CONVERSION_COLUMNS if name in items.schema.names]
        if left:
            items.drop_columns(left)

    store.maintain(store.items, drop)


def chosen_kinds(store: Store) -> frozenset[str]:
    """Names of the columns whose type a user has chosen."""
    return frozenset(
        field.name for field in store.items.schema if CHOSEN_KEY.encode() in (field.metadata or {})
    ) & frozenset(store.column_kinds())


def note_chosen(store: Store, names: Sequence[str]) -> None:
    """Note that a user has chosen the types of these columns; safe to repeat.

    Raises:
        StoreError: the database cannot be written.
    """
    new = sorted(set(names) & store.column_kinds().keys() - chosen_kinds(store))

    def note(items: Table) -> None:
        for name in new:
            kind = kind_of_arrow(items.schema.field(name).type)
            items.update_field_metadata({"path": name, "metadata": {CHOSEN_KEY: kind}})

    if new:
        store.maintain(store.items, note)


def _batches(store: Store, name: str) -> Iterator[tuple[list[str], list[object]]]:
    search = store.items.search().where(f"{quote_name(name)} IS NOT NULL").select(["item_id", name]).limit(None)
    for batch in search.to_batches(ROWS_PER_BATCH):
        yield [str(item_id) for item_id in batch["item_id"].to_pylist()], list(batch[name].to_pylist())


@contextlib.contextmanager
def _writing(store: Store, name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # how LanceDB refuses an expression
        raise StoreError(f"{store.uri}: column {name!r} could not be converted ({error}); it keeps its type") from error


def _expression(name: str, before: ColumnKind, after: ColumnKind) -> str:
    """SQL for the converted values: LanceDB has no CASE here, so `nullif` makes nulls of the values that do not fit."""
    column = quote_name(name)
    if after == "text":
        if before == "number":  # as `as_text` does: 52.0 is 52
            return f"regexp_replace(regexp_replace(CAST({column} AS STRING), '[.]0$', ''), '^-0$', '0')"
        return f"CAST({column} AS STRING)"
    trimmed = f"btrim({column})"
    if before == "text" and after == "number":
        number = f"TRY_CAST({trimmed} AS DOUBLE)"
        fits = f"regexp_like({trimmed}, {quote(NUMBER_TEXT)}) AND abs({number}) < {EXACT_NUMBER}"
        return f"{number} * CAST(nullif({fits}, false) AS DOUBLE)"
    if before == "text" and after == "flag":
        lower = f"lower({trimmed})"
        return f"{is_in(lower, TRUE_TEXTS)} OR nullif(NOT ({is_in(lower, TRUE_TEXTS + FALSE_TEXTS)}), true)"
    if before == "text" and after == "time":
        with_seconds = (
            f"regexp_replace({trimmed}, '^([0-9-]{{10}}[T ][0-9]{{2}}:[0-9]{{2}})(Z|[+-][0-9]{{2}}:[0-9]{{2}})?$', "
            "'$1:00$2')"
        )
        return _as_utc(f"TRY_CAST({with_seconds} AS TIMESTAMP)")
    if before == "number" and after == "flag":
        return f"({column} = 1) OR nullif({column} != 0 AND {column} != 1, true)"
    nothing = {"number": "CAST(NULL AS DOUBLE)", "flag": "CAST(NULL AS BOOLEAN)"}
    return nothing.get(after) or _as_utc("CAST(NULL AS TIMESTAMP)")


def _as_utc(time: str) -> str:
    return f"arrow_cast({time}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
