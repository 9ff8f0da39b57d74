"""Snapshot tokens: names for the rows and rerankers of a search, so that its next page continues the same ranking.

A token is `ITEMS.VIEWS`, the versions of these tables; a further vector set adds its number times `SET_VERSIONS`.
If the database has rerankers, it is `ITEMS.VIEWS.RERANKERS.DAY`, with the version of the rerankers' table and the day
from which item ages are computed.
A personalised search adds `~VERSION.TIME`: the version of personal search, and the moment up to which the user's events
count, in microseconds since 1970.
"""

from __future__ import annotations

import re
from datetime import date

from firstsight.errors import QueryError, StoreError, first_line
from firstsight.storage.store import Store
from firstsight.storage.vector_sets import SET_VERSIONS


def name_snapshot(store: Store) -> str:
    """The token of the rows that this store reads, without rerankers."""
    return f"{store.items_version}.{store.views_version}"


def open_snapshot(store: Store, token: str) -> Store:
    """Open the rows of a token; returns `store` itself if nothing has changed since.

    Raises:
        QueryError: the text is not a token, or cleanup has removed these versions.
    """
    if not re.fullmatch(r"[0-9]{1,18}\.[0-9]{1,18}(\.[0-9]{1,18}\.[0-9]{1,18})?(~[0-9]{1,9}\.[0-9]{1,18})?", token):
        raise QueryError(f"snapshot {token[:40]!r} is not a token of an earlier search, such as {name_snapshot(store)}")
    items, views = (int(version) for version in token.partition("~")[0].split(".")[:2])
    if name_snapshot(store) == f"{items}.{views}":
        return store
    if {items // SET_VERSIONS, views // SET_VERSIONS} != {store.number}:  # no encoder for its queries is in force
        raise QueryError(
            f"snapshot {token} is of the vectors of another encoder than {store.spec.name}, which is in force; start "
            "again at the first page without it"
        )
    try:
        return _open_versions(store, items % SET_VERSIONS, views % SET_VERSIONS)
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(
            f"snapshot {token} has expired ({first_line(error)}); start again at the first page without it"
        ) from None


def pin_snapshot(store: Store) -> Store:
    """Open the rows that a store reads now, with tables of their own: refreshing or releasing `store` changes nothing.

    Upkeep keeps the files of these rows for six hours.

    Raises:
        StoreError: the tables cannot be read.
    """
    try:
        return _open_versions(store, store.items.version, store.views.version)
    except (ValueError, RuntimeError, OSError) as error:
        raise StoreError(f"{store.uri} cannot be read ({first_line(error)}); run again") from None


def _open_versions(store: Store, items: int, views: int) -> Store:
    pinned = Store(store.uri, store.spec, store.layout, store.session, store.number, pinned=True)
    pinned.items.checkout(items)
    pinned.views.checkout(views)
    store.session.note_indexes(pinned.items)
    store.session.note_indexes(pinned.views)
    return pinned


def make_token(rows: str, rerankers: int | None, day: date) -> str:
    """Add the version of the rerankers' table and the day to a token of rows; None: there are no rerankers."""
    return rows if rerankers is None else f"{rows}.{rerankers}.{day.toordinal()}"


def parse_rerankers(token: str) -> tuple[int, date] | None:
    """Read the version of the rerankers' table and the day from a token; None if the token has none.

    Raises:
        QueryError: the day is not a date.
    """
    parts = token.partition("~")[0].split(".")
    if len(parts) < 4:
        return None
    try:
        return int(parts[2]), date.fromordinal(int(parts[3]))
    except (ValueError, OverflowError):
        raise QueryError(f"snapshot {token[:40]!r} is not a token of an earlier search") from None


def add_personal_state(token: str, version: int, time_us: int) -> str:
    """Add the state of a personalised search to a token."""
    return f"{token}~{version}.{time_us}"


def parse_personal_state(token: str) -> tuple[int, int] | None:
    """Read the version of personal search and the moment of the events from a token that `open_snapshot` accepts."""
    state = token.partition("~")[2]
    if not state:
        return None
    version, time_us = state.split(".")
    return int(version), int(time_us)
