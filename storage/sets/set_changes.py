"""Changes of the vector sets of a database: begin a second one, switch between the two, drop one.

Each change is safe to repeat after a kill. A switch is one commit to the row that names the set in force.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from lancedb.table import Table

from firstsight.errors import StoreError, first_line
from firstsight.storage.layout import mark_sets, vector_schemas
from firstsight.storage.sets.standby_rows import synced_state
from firstsight.storage.table_store import TableStore
from firstsight.storage.vector_sets import SetState, describe_set, name_set_in_force, table_name, write_set
from firstsight.vectors import EncoderSpec


def begin_set(store: TableStore, spec: EncoderSpec) -> int:
    """Make the empty tables of a further set; the caller holds the writer lock.

    Returns:
        The number of the set, or that of the set that the encoder has already.

    Raises:
        StoreError: the database has a second set of another encoder, or cannot be written.
    """
    sets = store.sets
    if sets is not None:
        known = next((found for found in sets.sets if found.fingerprint == spec.fingerprint), None)
        if known is not None:
            return known.number
        if (standby := sets.standby) is not None:
            raise StoreError(
                f"{store.uri} has a second set of vectors, of {standby.encoder}; drop it first: "
                f"firstsight encoder drop {standby.number}"
            )
    number = 1 if sets is None else sets.highest + 1
    try:
        for base, schema in vector_schemas(
            spec, store.vector_format
        ).items():  # overwrite: of a killed call, for another dimension
            store.session.create_table(table_name(base, number), schema=schema, mode="overwrite")
    except (RuntimeError, OSError, ValueError) as error:
        raise StoreError(f"{store.uri} could not be written ({first_line(error)}); check space and access") from error
    if sets is None:
        write_set(store, describe_set(store.number, store.spec, "ready"))
        name_set_in_force(store, store.number, None, "")  # the next writing block compares all rows
    write_set(store, describe_set(number, spec, "building"))
    store.maintain(store.first_items, partial(_mark, uri=store.uri))
    store.refresh()
    return number


def _mark(items: Table, uri: str) -> None:
    mark_sets(uri, items)


def change_state(store: TableStore, number: int, state: SetState) -> None:
    """Note that a set is ready, or being built again; the caller holds the writer lock.

    Raises:
        StoreError: there is no such set, or the database cannot be written.
    """
    found = None if store.sets is None else store.sets.get(number)
    if found is None:
        raise StoreError(f"{store.uri} has no vector set {number}; it was dropped meanwhile")
    if found.state != state:
        write_set(store, replace(found, state=state, changed_at=datetime.now(UTC)))
        store.refresh()


def put_in_force(store: TableStore, number: int) -> None:
    """Put a set in force, in one commit; the caller holds the writer lock and has copied all rows to the set.

    Raises:
        StoreError: there is no such set, or the database cannot be written.
    """
    sets = store.sets
    if sets is None or sets.get(number) is None:
        raise StoreError(f"{store.uri} has no vector set {number}; firstsight encoder list shows the sets")
    if sets.in_force == number:
        return
    before = sets.get(sets.in_force)
    if before is not None:  # from now on its age counts, for `drop`
        write_set(store, replace(before, changed_at=datetime.now(UTC)))
    name_set_in_force(store, number, sets.in_force, synced_state(store.of_set(number)))
    store.refresh()


def drop_set(store: TableStore, number: int) -> None:
    """Drop a set that is not in force, with its tables; the caller holds the writer lock.

    Set 0 keeps its empty tables: the one of the items has the layout of the database.

    Raises:
        StoreError: the set is in force, there is no such set, or the database cannot be written.
    """
    sets = store.sets
    found = None if sets is None else sets.get(number)
    if sets is None or found is None or sets.in_force == number:
        raise StoreError(f"vector set {number} of {store.uri} is in force, or there is no such set")
    write_set(store, replace(found, changed_at=datetime.now(UTC)), dropped=True)
    store.refresh()
    if number:
        try:
            for base in ("items", "views"):
                with suppress(ValueError, FileNotFoundError):  # no such table
                    store.session.drop_table(table_name(base, number))
        except (RuntimeError, OSError) as error:
            raise StoreError(f"{store.uri}: a table of set {number} is left ({first_line(error)})") from error
        return
    emptied = store.of_set(0)
    for table in (emptied.views, emptied.items):
        emptied.delete_rows(table, "true")
        emptied.maintain(table, _clean)


def _clean(table: Table) -> None:
    table.optimize()
