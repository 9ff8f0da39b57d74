"""The rows that a search reads, named so that the next page reads the same ones."""

from __future__ import annotations

import re

from firstsight.errors import QueryError, first_line
from firstsight.indexer.store import Store


def name_snapshot(store: Store) -> str:
    """The versions of the tables that this store reads, as a token."""
    return f"{store.items.version}.{store.views.version}"


def open_snapshot(store: Store, token: str) -> Store:
    """The database as it was when a token was given out; the store itself where nothing has changed since.

    Raises:
        QueryError: no token of this database, or its versions have been cleaned up since.
    """
    if token == name_snapshot(store):
        return store
    if not re.fullmatch(r"\d+\.\d+", token):
        raise QueryError(f"snapshot {token[:40]!r} is no token of an earlier answer, such as {name_snapshot(store)}")
    items, views = (int(version) for version in token.split("."))
    then = Store.open(store.uri)
    try:
        then.items.checkout(items)
        then.views.checkout(views)
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(
            f"snapshot {token} is not there any more ({first_line(error)}); begin again at the first page, without it"
        ) from None
    return then
