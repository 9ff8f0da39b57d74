"""Queries of the event log with the items that users opened after them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Final

from firstsight.recommend.events.event_log import Events
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store
from firstsight.tuning.reading.catalogue_data import CatalogueData
from firstsight.tuning.tuning_data import ClickedQuery

MAX_QUERY: Final = 200
"""Longest query in characters; a longer one was pasted, not searched."""


def read_clicked_queries(catalogue: CatalogueData, db: str) -> CatalogueData:
    """Add the clicked queries of a database to a catalogue's data.

    A query that led to an item of another catalogue only does not count. Queries that differ in case or spaces are one.

    Args:
        db: address of a database with events.

    Raises:
        MissingDatabaseError: there is no database.
        QueryError: it has no events on its items.
        StoreError: it cannot be read.
    """
    store = Store.open(db)
    space = ItemSpace.load(store)
    searches = Events(store).interactions(space).searches
    row_of = {item.item_id: row for row, item in enumerate(catalogue.data.items)}
    clicked: dict[str, set[int]] = defaultdict(set)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for text, place in zip(searches.texts.tolist(), searches.clicked.tolist(), strict=True):
        row = row_of.get(str(space.item_ids[place])) if place >= 0 else None
        query = " ".join(str(text).split())
        if row is not None and 0 < len(query) <= MAX_QUERY:
            clicked[query.casefold()].add(row)
            spellings[query.casefold()][query] += 1
    clicks = tuple(
        ClickedQuery(spellings[key].most_common(1)[0][0], tuple(sorted(rows))) for key, rows in sorted(clicked.items())
    )
    return replace(catalogue, data=replace(catalogue.data, clicks=clicks))
