"""Find the videos that contain a clip, by their fingerprints, and the second at which it begins.

Frames tell what a video shows. Fingerprints tell whether it is the same recording, and where. They are compared with
those of the first items of the ranking, which come first if they contain at least half of the clip.

Alignment as for near-duplicates wants proof that it is no chance: a clip that hardly moves gives none. But the items
here already look like the clip. So if there is no such alignment, the clip is put at the place where its fingerprints
are nearest to those of the video, at speed 1, if they are near at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.prints.print_alignment import align_prints
from firstsight.duplicates.prints.stored_prints import StoredPrints
from firstsight.media.fingerprints import Fingerprints, distances
from firstsight.media.video_prints import PRINTS_PER_S, VideoPrints
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.results import ClipMatch
from firstsight.storage.store import Store

IDENTIFIED: Final = 16
"""Number of items of a ranking whose fingerprints are compared, the same for every page."""

MIN_SHARE: Final = 0.5
"""Minimum share of the clip that an identified video contains."""

MAX_DISTANCE: Final = 64.0
"""Maximum mean distance of near codes, in bits."""

_UNRELATED: Final = 128  # bits in which codes of unrelated pictures differ

_PART_FACTOR: Final = 0.9


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
            strength = alignment.seconds * (_UNRELATED - alignment.distance)
            if alignment.channels != ("whole", "whole"):
                strength *= _PART_FACTOR  # a version that shows a part of the picture is rather the copy
            match = ClipMatch(uri, alignment.offset_s, alignment.speed, alignment.share)
        elif nearest := nearest_place(prints.whole, of_item.whole):
            offset_s, distance, share = nearest
            strength = share * prints.duration_s * (_UNRELATED - distance)
            match = ClipMatch(uri, offset_s, 1.0, share)
        else:
            continue
        if item_id not in found or strength > found[item_id][0]:
            found[item_id] = (strength, match)
    identified = [
        replace(candidate, relevance=1.0, clip=found[candidate.item_id][1])
        for candidate in sorted(first, key=lambda c: -found.get(c.item_id, (0.0,))[0])
        if candidate.item_id in found
    ]
    return [*identified, *(candidate for candidate in first if candidate.item_id not in found), *rest]


def nearest_place(clip: Fingerprints, video: Fingerprints) -> tuple[float, float, float] | None:
    """Find where a clip lies in a video that looks like it.

    Args:
        clip: (n, 32) codes, `PRINTS_PER_S` a second; a row of zeros is no code.
        video: (m, 32) codes.

    Returns:
        Second of the video at which the clip begins, mean distance of the codes there in bits, and the share of the
        clip that was compared; None if the codes are not near anywhere.
    """
    n, m = len(clip), len(video)
    if not n or not m:
        return None
    bits = distances(clip[:, None], video).astype(np.float64)
    bits[~clip.any(axis=1)] = np.nan
    bits[:, ~video.any(axis=1)] = np.nan
    # the clip may begin before the video, or end after it
    places = np.arange(-(n // 2), m - (n + 1) // 2 + 1)
    means, shares = np.full(len(places), np.inf), np.zeros(len(places))
    for at, place in enumerate(places):
        diagonal = bits[max(0, -place) : m - place, max(0, place) :].diagonal()
        compared = diagonal[~np.isnan(diagonal)]
        shares[at] = len(compared) / n
        if shares[at] >= MIN_SHARE:
            means[at] = compared.mean()
    best = int(np.argmin(means))
    if means[best] > MAX_DISTANCE:
        return None
    return (float(places[best]) + _between(means, best)) / PRINTS_PER_S, float(means[best]), float(shares[best])


def _between(means: NDArray[np.float64], best: int) -> float:
    """Fraction of a code by which the true place differs: distances rise about evenly on both sides of it."""
    if not 0 < best < len(means) - 1:
        return 0.0
    before, here, after = means[best - 1 : best + 2]
    rise = max(before, after) - here
    return float((before - after) / (2 * rise)) if np.isfinite(rise) and rise > 0 else 0.0
