"""Moments of the videos in a slate: the stretch of each video that suits the nearest interest of the user best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.interests.interests import Interest
from firstsight.recommend.slates.moments.best_moments import Wanted, best_moments
from firstsight.retrieval.moments import Moment
from firstsight.storage.store import Store


def slate_moments(
    store: Store, space: ItemSpace, places: Sequence[int], interests: Sequence[Interest]
) -> dict[int, Moment]:
    """Find the best moment of each of these items that has a video, by row of the space.

    Args:
        store: the database; one read for the views of all items.
        space: all items.
        places: rows of the items of a slate.
        interests: of the user; without any in the space of the items, there are no moments.

    A score is the cosine of the moment's best frame to the interest that is nearest to the item.
    """
    own = [interest.vector for interest in interests if not interest.projected]
    if not own:
        return {}
    directions = np.stack(own)
    floors = np.median(space.vectors @ directions.T, axis=0)
    nearest = {place: int(np.argmax(directions @ space.vectors[place])) for place in places}
    by_id = {str(space.item_ids[place]): place for place in places if space.kinds[place] != "product"}
    wanted = {
        item_id: Wanted(directions[[nearest[place]]], float(floors[nearest[place]])) for item_id, place in by_id.items()
    }
    return {by_id[item_id]: moment for item_id, moment in best_moments(store, wanted).items()}
