"""Options of the calls that recommend items."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from firstsight.recommend.slates.rules.slate_settings import SlateOptions


class RecommendOptions(SlateOptions, total=False):
    """Options of `firstsight.Database.recommend`: these, and the fields of `SlateSettings` (k, quotas, explore, …).

    Attributes:
        history: item ids, oldest first, the last one just now; or events with item_id, timestamp and optionally weight.
            Added to the logged events.
        profile: a JSON file with user, history and age, instead of these arguments.
        cap_column: catalogue column for `cap`, the maximum number of items with an equal value in it.
        now: time of the slate, with a time zone; the present time by default.
        seed: random seed of exploration; the same seed gives the same slate. Random by default.
        log: write the slots with their propensities to the table `slates`.
        moments: give each video the stretch that suits the user's interests best; without it by default.
        experiment: name of the A/B experiment that decides the bucket of the user; by default no name.
    """

    history: Sequence[str | Mapping[str, object]] | None
    profile: str | os.PathLike[str] | None
    cap_column: str | None
    now: datetime | None
    seed: int | None
    log: bool
    moments: bool
    experiment: str


class SimilarOptions(TypedDict, total=False):
    """Options of `firstsight.Database.similar`.

    Attributes:
        k: maximum number of results, 1 to 1,000; 10 by default.
        kinds: return only these kinds: product, video, live. All by default.
        near_duplicate: cosine, above 0 and at most 1, from which two results are near-duplicates and only the nearer
            one stays; 1, the default, keeps all.
        collapse: None, the default, returns one variant of each product if the database knows products, and leaves out
            the item's own product; "none" returns every item.
        now: time for which items must be available; the present time by default.
    """

    k: int
    kinds: Sequence[str]
    near_duplicate: float
    collapse: str | None
    now: datetime | None
