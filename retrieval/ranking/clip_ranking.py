"""Rank items by how well they show a clip: frames compared with frames.

    value = (1 - REVERSE_SHARE) * mean over the clip's frames of each frame's highest cosine to a frame of the item
            + REVERSE_SHARE * mean over the item's frames of each frame's highest cosine to a frame of the clip

This is the greatest similarity in both directions (Barrow et al., "Parametric correspondence and chamfer matching",
IJCAI 1977). The first direction finds a short cut in its long original. The second one has a small share: it puts the
clip itself before longer videos that contain it.

An unread item's frames have at most the last cosine that was read for each frame of the clip. Their mean bounds its
value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from firstsight.encoders.base import Vectors
from firstsight.retrieval.ranking.clip_identification import IDENTIFIED, put_identified_first
from firstsight.retrieval.ranking.fetch_batching import FetchGenerator
from firstsight.retrieval.ranking.item_reader import ItemReader
from firstsight.retrieval.ranking.readings import TIE_TOLERANCE, Candidate, CandidateRanking

REVERSE_SHARE: Final = 0.001
"""Share of the item's frames in the value; larger ones find fewer cuts in their originals (docs/benchmarks.md)."""


def clip_similarity(clip: Vectors, pictures: Vectors) -> float:
    """Similarity of a clip to an item, -1 to 1.

    Args:
        clip: (n, dim) unit rows, its frames.
        pictures: (m, dim) unit rows, the item's pictures and frames; n and m are at least 1.
    """
    cosines = clip @ pictures.T
    forward, back = cosines.max(axis=1).mean(), cosines.max(axis=0).mean()
    return float((1 - REVERSE_SHARE) * forward + REVERSE_SHARE * back)


def rank_by_clip(reader: ItemReader, need: int) -> FetchGenerator[CandidateRanking]:
    """Rank at least `need` items, or all items with pictures if there are fewer."""
    frames, prints = reader.encoded.frames, reader.encoded.prints
    need = need if prints is None else max(need, IDENTIFIED)
    readings = reader.views_readings(need, None, ("item_id", "part"), list(frames))
    allowed = dict.fromkeys(reader.encoded.query.items, False)
    known: dict[str, Candidate] = {}
    while readings:
        answers = yield [reading.request for reading in readings]
        for reading, rows in zip(readings, answers, strict=True):
            reading.take(rows)
        seen = dict.fromkeys(i for reading in readings for i in reader.allowed_cosines(reading, allowed))
        known |= _compare(reader, frames, [item_id for item_id in seen if item_id not in known])
        complete = all(reading.complete for reading in readings)
        lasts = [reading.last for reading in readings]
        last = (1 - REVERSE_SHARE) * float(np.mean(lasts)) + REVERSE_SHARE * max(lasts)
        bound = -math.inf if complete else last + TIE_TOLERANCE
        certain = [candidate for candidate in known.values() if candidate.value > bound]
        if complete or len(certain) >= need:
            certain.sort(key=lambda candidate: (-candidate.value, candidate.item_id))
            if prints is not None:
                certain = put_identified_first(reader.store, prints, certain)
            return CandidateRanking(certain, -1.0 if complete else last, complete)
        for reading in readings:
            reading.k *= 4
    return CandidateRanking([], -1.0, complete=True)


def _compare(reader: ItemReader, frames: Vectors, item_ids: Sequence[str]) -> dict[str, Candidate]:
    penalties = reader.penalties(item_ids)
    candidates = {}
    for item_id, pictures in reader.picture_vectors(item_ids).items():
        similarity = clip_similarity(frames, pictures)
        candidates[item_id] = Candidate(item_id, similarity, similarity - penalties.get(item_id, 0.0))
    return candidates
