"""What recommendation gives back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from firstsight.recommend.slates.interests import InterestKind
from firstsight.recommend.slates.slate_composer import Source


@dataclass(frozen=True)
class Recommendation:
    """One item of a slate, with what brought it.

    Attributes:
        score: standard deviations above the mean of its kind, for this user.
        source: an interest of the user (recent, lasting, long_tail), users alike (neighbours), everybody (popular), its
            date (newest) where there are no events at all, or exploration (new: hardly shown yet; nearby: beside what
            the user knows).
        because: an item of the user's history that the interest is named by, of the recent ones the nearest; None
            where there is none.
        explore: exploration put it there.
        propensity: the probability that this slot holds this item, 0 to 1; see `slate_composer.Slot`.
    """

    item_id: str
    kind: str
    title: str | None
    score: float
    source: Source
    because: str | None
    explore: bool
    propensity: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"score": round(self.score, 4), "propensity": round(self.propensity, 6)}


@dataclass(frozen=True)
class UserInterest:
    """An interest of a user, named by an item of the history; `share` is of the slots that go to interests."""

    kind: InterestKind
    item_id: str
    share: float
    items: int


class Slate(list[Recommendation]):
    """Recommendations for one user, in the order of their slots.

    Attributes:
        slate_id: of the log, where it was logged; a new one in any case.
        user_id: None for somebody without a name.
        made_at: UTC.
        events: of the user, on items that the database has; 0 for somebody of whom nothing is known.
        interests: that the history fell into.
        missing: of kinds with a quota, how many slots no item was there for.
    """

    def __init__(
        self,
        items: Iterable[Recommendation],
        *,
        slate_id: str,
        user_id: str | None,
        made_at: datetime,
        events: int,
        interests: tuple[UserInterest, ...],
        missing: dict[str, int],
    ) -> None:
        super().__init__(items)
        self.slate_id, self.user_id, self.made_at = slate_id, user_id, made_at
        self.events, self.interests, self.missing = events, interests, missing


@dataclass(frozen=True)
class SimilarItem:
    """An item beside another; `score` is the cosine of their vectors, -1 to 1."""

    item_id: str
    kind: str
    title: str | None
    score: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"score": round(self.score, 4)}


@dataclass(frozen=True)
class InterestedUser:
    """A user who would want an item.

    Attributes:
        score: mean cosine of the item to the three items of the user's that are nearest to it, -1 to 1.
        because: the nearest of them.
    """

    user_id: str
    score: float
    because: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"score": round(self.score, 4)}
