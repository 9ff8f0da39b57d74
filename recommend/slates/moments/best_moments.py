"""Best moments: of each of some videos, the stretch that is most like what it was found with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from firstsight.media.stored_media import open_address
from firstsight.retrieval.moments import Moment, find_moments
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store
from firstsight.vectors import Vectors


@dataclass(frozen=True)
class Wanted:
    """Vectors that the frames of a video are compared with."""

    vectors: Vectors  # (n, dim) unit rows; a frame counts by its greatest cosine to one of them
    floor: float  # such a cosine of a random item


def best_moments(store: Store, wanted: Mapping[str, Wanted]) -> dict[str, Moment]:
    """Find the best moment of each item that has frames, by item id; one read for the views of all items.

    Args:
        store: the database.
        wanted: by item id.

    A score is the greatest cosine of the moment's best frame.
    """
    if not wanted:
        return {}
    frames: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for view in store.view_rows(list(wanted)).to_pylist():
        if view["part"] == "frame":
            frames.setdefault((view["item_id"], view["uri"]), []).append(view)
    folders = store.column_values(sorted({item_id for item_id, _ in frames}), ["catalog_dir"])
    found: dict[str, Moment] = {}
    for (item_id, uri), views in frames.items():
        address = locate(open_address(uri, store.uri), folders[item_id]["catalog_dir"])
        moment = _best_moment(address, views, wanted[item_id])
        if item_id not in found or moment.score > found[item_id].score:
            found[item_id] = moment
    return found


def _best_moment(uri: str, views: Sequence[Mapping[str, Any]], wanted: Wanted) -> Moment:
    times = [view["time_s"] for view in views]
    shots = [None if view["start_s"] is None else (view["start_s"], view["end_s"]) for view in views]
    vectors = np.array([view["vector"] for view in views], dtype=np.float32)
    cosines = [float(cosine) for cosine in (vectors @ wanted.vectors.T).max(axis=1)]
    best = find_moments(uri, times, shots, cosines, floor=wanted.floor)[0]
    return replace(best, view_id=views[int(np.argmax(cosines))]["view_id"])
