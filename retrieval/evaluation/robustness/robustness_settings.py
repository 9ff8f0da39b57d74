"""Settings of a measurement of robustness."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from firstsight.errors import QueryError
from firstsight.media.corruptions.picture_corruptions import choose_corruptions

DEPTHS = (1, 10)
"""Depths of recall: R@1 and R@10."""


@dataclass(frozen=True)
class RobustnessSettings:
    """Settings of a measurement of robustness.

    Raises:
        QueryError: a number is out of range, or there is no such corruption or strength.
    """

    sample: int = 100  # items to draw, 1 or more
    seed: int = 0  # random seed of the sample, the corruptions, the typos and the intervals
    corruptions: tuple[str, ...] | None = None  # names, see `firstsight.media.corruptions`; None for the common ones
    strengths: tuple[int, ...] | None = None  # 1 to 5, also of typos; None for all
    by: tuple[str, ...] = ()  # columns whose values are slices, besides language and category
    smallest_slice: int = 10  # minimum number of products in a slice, 2 or more
    candidates: int = 20_000  # maximum number of items that corrupted pictures are searched among
    judgements: str | os.PathLike[str] | None = None  # file of judged text queries; None for titles
    paraphrases: str | os.PathLike[str] | None = None  # file of paraphrases; None for the rules
    draws: int = 1_000  # of the bootstrap, 100 or more
    changes: tuple[tuple[str, int], ...] = field(init=False, repr=False)  # corruptions with their strengths

    def __post_init__(self) -> None:
        lowest = {"sample": 1, "smallest_slice": 2, "candidates": 1, "draws": 100}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value < least:
                raise QueryError(f"{name.replace('_', ' ')} must be {least} or more, not {value}")
        object.__setattr__(self, "changes", tuple(choose_corruptions(self.corruptions, self.strengths)))
