"""Results of recommendation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from firstsight.recommend.slates.interests import InterestKind
from firstsight.recommend.slates.slate_composer import Source


@dataclass(frozen=True)
class Recommendation:
    """One item of a slate and the reason for it.

    Attributes:
        score: standard deviations above the mean of its kind, for this user.
        source: the reason: an interest of the user (recent, lasting, long_tail), similar users (neighbours), popularity
            (popular), its date if there are no events at all (newest), or exploration (new: hardly shown yet; nearby:
            from a cluster next to those of the user).
        because: the item of the history that names the interest: the nearest recent one, or the medoid; None for no
            interest.
        explore: whether exploration chose the item.
        propensity: the probability that this slot holds this item, 0 to 1; see `slate_composer.Slot`.
        variants: number of variants of its product that may be shown; None if every item is shown.
    """

    item_id: str
    kind: str
    title: str | None
    score: float
    source: Source
    because: str | None
    explore: bool
    propensity: float
    variants: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON fields."""
        return _plain(self) | {"score": round(self.score, 4), "propensity": round(self.propensity, 6)}


@dataclass(frozen=True)
class UserInterest:
    """An interest of a user, named by an item of the history; `share` is its share of the slots for interests."""

    kind: InterestKind
    item_id: str
    share: float
    items: int


class Slate(list[Recommendation]):
    """Recommendations for one user, in the order of their slots.

    Attributes:
        slate_id: a new id; the log of slates has it if the slate was logged.
        user_id: None for a person without a user id.
        made_at: UTC.
        events: number of the user's events on items of the database; 0 for an unknown user.
        interests: interests found in the history.
        missing: number of slots that stayed empty, by kind with a quota.
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
    """An item similar to another one.

    Attributes:
        score: cosine of their vectors, -1 to 1.
        variants: number of variants of its product that may be shown; None if every item is listed.
    """

    item_id: str
    kind: str
    title: str | None
    score: float
    variants: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON fields."""
        return _plain(self) | {"score": round(self.score, 4)}


def _plain(item: Recommendation | SimilarItem) -> dict[str, Any]:
    plain = asdict(item)
    if item.variants is None:
        del plain["variants"]
    return plain


@dataclass(frozen=True)
class InterestedUser:
    """A user who is probably interested in an item.

    Attributes:
        score: mean cosine of the item and its three nearest items of the user's history, -1 to 1.
        because: the nearest of these items.
    """

    user_id: str
    score: float
    because: str

    def to_dict(self) -> dict[str, Any]:
        """The user as JSON fields."""
        return asdict(self) | {"score": round(self.score, 4)}
