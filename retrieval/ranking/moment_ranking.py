"""Rank items by their best moment: the frame most like the query, together with the item's fused vector.

The fused vector of a video is the mean of its title and of all its frames, so a short moment hardly moves it. The best
frame alone ignores the title. Their cosines are on different scales: the best of many frames is nearer to any
query than a mean is. So both are measured in standard deviations from the cosine of a random item,

    z = ITEM_SHARE * z(item) + (1 - ITEM_SHARE) * z(best frame)

and z is measured in the same way once more. An item without frames has z(item), so that products keep their order and
videos compare with them.

An unread item has at most the last cosines that were read of items and of frames. So its place is certain as in the
other rankings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.retrieval.ranking.fetch_batching import FetchGenerator
from firstsight.retrieval.ranking.item_reader import ItemReader
from firstsight.retrieval.ranking.readings import Candidate, CandidateRanking, Reading
from firstsight.retrieval.ranking.relevance import ITEM_SHARE, RandomPairCosines

_FRAMES: Final = "part = 'frame'"

_TOLERANCE: Final = 2e-5
"""Values closer than this may change their order with the number of rows read, in standard deviations."""


@dataclass(frozen=True)
class MomentScale:
    """Converts cosines of items and frames to values that compare."""

    item: RandomPairCosines
    frame: RandomPairCosines  # of the best frame of a random item
    moment: RandomPairCosines  # of `ITEM_SHARE * z(item) + (1 - ITEM_SHARE) * z(frame)`, for random items with frames

    def value(self, item: float, frame: float | None) -> float:
        """Value of an item: standard deviations from a random item.

        Args:
            item: cosine of its fused vector.
            frame: cosine of its best frame; None without frames.
        """
        if frame is None:
            return self.item.deviation(item)
        joined = ITEM_SHARE * self.item.deviation(item) + (1 - ITEM_SHARE) * self.frame.deviation(frame)
        return joined if self.moment.middle is None else self.moment.deviation(joined)

    def minus_cosine(self, item: float, frame: float) -> float:
        """Cosine of an item with frames to something to avoid: the one that gives an item without frames its value.

        The best frame alone would say too much: for one text, an item would have a larger penalty than value.
        """
        low, high = self.item.deviation(0.0), self.item.deviation(1.0)
        return (self.value(item, frame) - low) / (high - low)

    def candidate(self, item_id: str, item: float, frame: float | None, penalty: float) -> Candidate:
        """The candidate of an item; the penalty is in cosines."""
        value = self.value(item, frame)
        if frame is None or self.moment.middle is None:
            relevance = self.item.relevance(item) if frame is None else self.frame.relevance(frame)
        else:
            relevance = self.moment.relevance_of_deviation(value)
        lowered = value - (self.item.deviation(penalty) - self.item.deviation(0.0))
        return Candidate(item_id, item if frame is None else frame, lowered, relevance=relevance)


def rank_by_moments(reader: ItemReader, scale: MomentScale, need: int) -> FetchGenerator[CandidateRanking]:
    """Rank at least `need` items, or all items if there are fewer."""
    query = reader.encoded.query
    frame_readings = reader.views_readings(need, _FRAMES, ("item_id",), [reader.encoded.vector])
    if frame_readings is None:
        return CandidateRanking([], -1.0, complete=True, relevance_bound=0.0)
    items, (frames,) = reader.items_reading(need), frame_readings
    allowed = dict.fromkeys(query.items, False)
    known: dict[str, Candidate] = {}
    to_extend = [items, frames]
    while to_extend:
        answers = yield [reading.request for reading in to_extend]
        for reading, rows in zip(to_extend, answers, strict=True):
            reading.take(rows)
            if reading.table == "items":
                reader.note_groups(rows)
        item_cosines, frame_cosines = reader.allowed_cosines(items, allowed), reader.allowed_cosines(frames, allowed)
        new = [item_id for item_id in {**item_cosines, **frame_cosines} if item_id not in known]
        known |= _compare(reader, scale, new, item_cosines, frame_cosines, all_frames=frames.complete)
        # an unread item may have frames or not
        unread = -math.inf if items.complete else scale.value(items.last, None)
        unread_with_frames = -math.inf
        if not (items.complete or frames.complete):
            unread_with_frames = scale.value(items.last, frames.last)
        bound = max(unread, unread_with_frames) + _TOLERANCE
        certain = [candidate for candidate in known.values() if candidate.value > bound]
        if items.complete or len(certain) >= need:
            certain.sort(key=lambda candidate: (-candidate.value, candidate.item_id))
            return _ranking(scale, certain, items, frames)
        lowest = sorted((c.value for c in known.values()), reverse=True)[need - 1] if len(known) >= need else -math.inf
        to_extend = [items]
        if not frames.complete and unread_with_frames + _TOLERANCE >= lowest:
            to_extend.append(frames)
        for reading in to_extend:
            reading.k *= 4
    return CandidateRanking([], -1.0, complete=True, relevance_bound=0.0)


def _ranking(scale: MomentScale, certain: list[Candidate], items: Reading, frames: Reading) -> CandidateRanking:
    if items.complete:
        return CandidateRanking(certain, -1.0, complete=True, relevance_bound=0.0)
    last = -1.0 if frames.complete else frames.last
    bounds = [scale.candidate("", items.last, frame, 0.0) for frame in (None, last)]
    cosine = max(items.last, last)
    return CandidateRanking(certain, cosine, complete=False, relevance_bound=max(c.relevance or 0.0 for c in bounds))


def compare_moments(reader: ItemReader, scale: MomentScale, item_ids: Sequence[str]) -> dict[str, Candidate]:
    """Compare items by their ids; the cosine of an item without a vector is 0."""
    found = _compare(reader, scale, item_ids, {}, {}, all_frames=False)
    return {i: found.get(i) or scale.candidate(i, 0.0, None, 0.0) for i in item_ids}


def _compare(
    reader: ItemReader,
    scale: MomentScale,
    item_ids: Sequence[str],
    item_cosines: Mapping[str, float],
    frame_cosines: Mapping[str, float],
    *,
    all_frames: bool,
) -> dict[str, Candidate]:
    """Compare items that have a vector. Cosines that were not read are computed.

    Args:
        all_frames: `frame_cosines` has every item with frames.
    """
    unread = [item_id for item_id in item_ids if item_id not in item_cosines]
    ids, vectors = reader.vectors(unread) if unread else ([], None)
    computed = {} if vectors is None else dict(zip(ids, (vectors @ reader.encoded.vector).tolist(), strict=True))
    without = [] if all_frames else [item_id for item_id in item_ids if item_id not in frame_cosines]
    best = {
        item_id: float((matrix @ reader.encoded.vector).max())
        for item_id, matrix in reader.picture_vectors(without, frames_only=True).items()
    }
    penalties = reader.penalties(item_ids, scale.minus_cosine)
    candidates = {}
    for item_id in item_ids:
        item = item_cosines.get(item_id, computed.get(item_id))
        if item is not None:
            frame = frame_cosines.get(item_id, best.get(item_id))
            candidates[item_id] = scale.candidate(item_id, item, frame, penalties.get(item_id, 0.0))
    return candidates
