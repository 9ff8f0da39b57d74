"""The rows and rerankers that a search reads, named so that the next page is cut from the same ranking.

A token is `ITEMS.VIEWS`, the versions of those tables; where the database has rerankers, `ITEMS.VIEWS.RERANKERS.DAY`,
with the version of their table and the day that ages are counted to.
"""

from __future__ import annotations

import re
from datetime import date

from firstsight.errors import QueryError, first_line
from firstsight.storage.store import Store


def name_snapshot(store: Store) -> str:
    """The versions of the tables that this store reads, as a token without rerankers."""
    return f"{store.items.version}.{store.views.version}"


def open_snapshot(store: Store, token: str) -> Store:
    """The database as it was when a token was given out; the store itself where nothing has changed since.

    Raises:
        QueryError: no token of this database, or its versions have been cleaned up since.
    """
    if not re.fullmatch(r"[0-9]{1,18}\.[0-9]{1,18}(\.[0-9]{1,18}\.[0-9]{1,18})?", token):
        raise QueryError(f"snapshot {token[:40]!r} is no token of an earlier answer, such as {name_snapshot(store)}")
    items, views = (int(version) for version in token.split(".")[:2])
    if name_snapshot(store) == f"{items}.{views}":
        return store
    then = Store.open(store.uri)
    try:
        then.items.checkout(items)
        then.views.checkout(views)
        store.session.note_indexes(then.items)
        store.session.note_indexes(then.views)
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(
            f"snapshot {token} is not there any more ({first_line(error)}); begin again at the first page, without it"
        ) from None
    return then


def make_token(rows: str, rerankers: int | None, day: date) -> str:
    """A whole token: that of the rows, with the version of the table of rerankers, if there is one, and the day."""
    return rows if rerankers is None else f"{rows}.{rerankers}.{day.toordinal()}"


def parse_rerankers(token: str) -> tuple[int, date] | None:
    """The version of the table of rerankers and the day that a token names; None where there was no such table.

    Raises:
        QueryError: its day is none.
    """
    parts = token.split(".")
    if len(parts) < 4:
        return None
    try:
        return int(parts[2]), date.fromordinal(int(parts[3]))
    except (ValueError, OverflowError):
        raise QueryError(f"snapshot {token[:40]!r} is no token of an earlier answer") from None
