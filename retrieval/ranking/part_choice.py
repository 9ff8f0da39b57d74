"""Choose what a query is compared with: in a database with videos, moments and clips are the default."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from firstsight.retrieval.query import PartChoice, Query
from firstsight.storage.store import Store

_HAS_FRAMES: WeakKeyDictionary[Store, tuple[int, bool]] = WeakKeyDictionary()
"""What `has_frames` has found, by the version of the views that it is of."""


def has_frames(store: Store) -> bool:
    """Whether a database has frames of videos; looked up once for each of its versions."""
    version = store.views_version
    known_version, known = _HAS_FRAMES.get(store, (-1, False))
    if known_version != version:
        known = bool(store.views.search().where("part = 'frame'").select(["item_id"]).limit(1).to_arrow().num_rows)
        _HAS_FRAMES[store] = (version, known)
    return known


def choose_part(store: Store, query: Query, *, clip: bool) -> PartChoice:
    """The part that a query is compared with.

    Args:
        clip: the query consists of videos and of items with frames.
    """
    if query.part is not None or not has_frames(store):
        return query.resolved_part
    if clip:
        return "clip"
    return "moment" if query.resolved_part == "item" and query.resolved_mode != "words" else query.resolved_part
