"""Find the videos that contain a clip, by their fingerprints, and the second at which it begins.

Frames tell what a video shows. Fingerprints tell whether it is the same recording, and where. They are compared with
those of the first items of the ranking, which come first if they contain at least half of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from firstsight.duplicates.prints.print_alignment import PrintAlignment, align_prints
from firstsight.duplicates.prints.stored_prints import StoredPrints
from firstsight.media.video_prints import VideoPrints
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.results import ClipMatch
from firstsight.storage.store import Store

IDENTIFIED: Final = 16
"""Number of items of a ranking whose fingerprints are compared, the same for every page."""

MIN_SHARE: Final = 0.5
"""Minimum share of the clip that an identified video contains."""

_UNRELATED: Final = 128  # bits in which codes of unrelated pictures differ


def put_identified_first(store: Store, prints: VideoPrints, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Move the items that contain the clip to the front, with relevance 1; those that match best come first.

    Args:
        prints: of the clip.
        candidates: best first, at least `IDENTIFIED` or all there are.
    """
    first, rest = candidates[:IDENTIFIED], candidates[IDENTIFIED:]
    stored = StoredPrints.read(store, [candidate.item_id for candidate in first])
    found: dict[str, tuple[float, ClipMatch]] = {}
    for item_id, uri, of_item in zip(stored.item_ids, stored.uris, stored.prints, strict=True):
        alignment = align_prints(prints, of_item)
        if alignment is not None and alignment.share >= MIN_SHARE:
            strength = _strength(alignment)
            if item_id not in found or strength > found[item_id][0]:
                found[item_id] = (strength, ClipMatch(uri, alignment.offset_s, alignment.speed, alignment.share))
    identified = [
        replace(candidate, relevance=1.0, clip=found[candidate.item_id][1])
        for candidate in sorted(first, key=lambda c: -found.get(c.item_id, (0.0,))[0])
        if candidate.item_id in found
    ]
    return [*identified, *(candidate for candidate in first if candidate.item_id not in found), *rest]


def _strength(alignment: PrintAlignment) -> float:
    """Matching seconds, weighed by how near the fingerprints are."""
    return alignment.seconds * (_UNRELATED - alignment.distance)
