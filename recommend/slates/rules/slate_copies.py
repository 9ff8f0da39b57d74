"""Groups of near-duplicates among the items that slates consider, found as slates need them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.item_pairs import pairs_of_views
from firstsight.duplicates.prints.stored_prints import Groups, StoredPrints
from firstsight.duplicates.view_pairs import PictureViews
from firstsight.recommend.items import ItemSpace, Places
from firstsight.storage.store import Store

MAX_ITEMS: Final = 3_000
"""Items whose groups are kept, so that the next slate does not compare them again; beyond it they are dropped."""

CopyCodes = Callable[[Places], NDArray[np.int64]]
"""Numbers for items: equal for near-duplicates, or for items between which there is a chain of near-duplicates.
They are comparable only within one call."""


class SlateCopies:
    """Near-duplicates among the items of one state of the database. Threads may share it."""

    def __init__(self, space: ItemSpace) -> None:
        self._space = space
        self._lock = threading.Lock()
        self._compared: dict[int, None] = {}  # rows of items, in order
        self._groups = Groups()

    def codes(self, store: Store, places: Places) -> NDArray[np.int64]:
        """Number these items by their near-duplicates. Items that no call had before are read and compared.

        Args:
            places: (n,) rows of the space.
        """
        wanted = [int(place) for place in places]
        with self._lock:
            new = [place for place in dict.fromkeys(wanted) if place not in self._compared]
            if len(self._compared) + len(new) > MAX_ITEMS:
                self._compared, self._groups = {}, Groups()
                new = list(dict.fromkeys(wanted))
            if new:
                self._compare(store, new)
            return np.array([self._groups.root(place) for place in wanted], dtype=np.int64)

    def _compare(self, store: Store, new: list[int]) -> None:
        self._compared |= dict.fromkeys(new)
        names = [str(self._space.item_ids[place]) for place in self._compared]
        place_of = dict(zip(names, self._compared, strict=True))
        only = {str(self._space.item_ids[place]) for place in new}
        views, prints = PictureViews.read(store, names), StoredPrints.read(store, names)
        # with weights, a group would depend on the items of earlier slates
        for pair in pairs_of_views(views, prints=prints, only=only, weigh=False, chained=True):
            self._groups.join(place_of[pair.item_id], place_of[pair.other_id])
