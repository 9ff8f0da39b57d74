"""Moments of the videos in a slate: the stretch of each video that suits the nearest interest of the user best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firstsight.media.stored_media import open_address
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.interests import Interest
from firstsight.retrieval.moments import Moment, find_moments
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store
from firstsight.vectors import Vector


def slate_moments(
    store: Store, space: ItemSpace, places: Sequence[int], interests: Sequence[Interest]
) -> dict[int, Moment]:
    """Find the best moment of each of these items that has a video, by row of the space.

    Args:
        store: the database; one read for the views of all items.
        space: all items.
        places: rows of the items of a slate.
        interests: of the user; without any, there are no moments.

    A score is the cosine of the moment's best frame to the interest that is nearest to the item.
    """
    if not interests:
        return {}
    directions = np.stack([interest.vector for interest in interests])
    floors = np.median(space.vectors @ directions.T, axis=0)
    nearest = {place: int(np.argmax(directions @ space.vectors[place])) for place in places}
    ids = {space.item_ids[place]: place for place in places if space.kinds[place] != "product"}
    frames: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for view in store.view_rows(list(ids)).to_pylist():
        if view["part"] == "frame":
            frames.setdefault((view["item_id"], view["uri"]), []).append(view)
    folders = store.column_values(sorted({item_id for item_id, _ in frames}), ["catalog_dir"])
    found: dict[int, Moment] = {}
    for (item_id, uri), views in frames.items():
        interest = nearest[ids[item_id]]
        address = locate(open_address(uri, store.uri), folders[item_id]["catalog_dir"])
        moment = _best_moment(address, views, directions[interest], float(floors[interest]))
        if ids[item_id] not in found or moment.score > found[ids[item_id]].score:
            found[ids[item_id]] = moment
    return found


def _best_moment(uri: str, views: Sequence[Mapping[str, Any]], interest: Vector, floor: float) -> Moment:
    times = [view["time_s"] for view in views]
    shots = [None if view["start_s"] is None else (view["start_s"], view["end_s"]) for view in views]
    cosines = [float(np.asarray(view["vector"], np.float32) @ interest) for view in views]
    best = find_moments(uri, times, shots, cosines, floor=floor)[0]
    return replace(best, view_id=views[int(np.argmax(cosines))]["view_id"])
