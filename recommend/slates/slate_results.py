"""Results of recommendation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firstsight.recommend.slates.interests.interests import InterestKind
from firstsight.recommend.slates.slate_composer import Source
from firstsight.records import Record, RecordList
from firstsight.retrieval.moments import Moment
from firstsight.retrieval.results import ClipMatch
from firstsight.retrieval.timed_product import TimedProduct


@dataclass(frozen=True)
class Recommendation(Record):
    """One item of a slate and the reason for it.

    Attributes:
        score: standard deviations above the mean item, for this user.
        source: the reason: an interest of the user (recent, lasting, long_tail; with a sequence model also short_term
            and long_term), similar users (neighbours), popularity (popular), its date if there are no events at all
            (newest), or exploration (new: hardly shown yet; nearby: from a cluster next to those of the user).
        because: the item of the history that names the interest: the nearest recent one, or the medoid; None for no
            interest.
        explore: whether exploration chose the item.
        propensity: the probability that this slot holds this item, 0 to 1; see `slate_composer.Slot`.
        variants: number of variants of its product that may be shown; None if every item is shown.
        moment: the stretch of its video that suits the user's nearest interest best; None unless moments are requested.
        terms: what each term of the ranking adds to the score, the largest first; see docs/recommend.md.
        replaces: the item of the ranking that exploration overwrote; None for a ranked item.
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
    moment: Moment | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    replaces: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON fields."""
        plain = super().to_dict() | {"score": round(self.score, 4), "propensity": round(self.propensity, 6)}
        plain["terms"] = {name: round(added, 4) for name, added in self.terms.items()}
        return _without_empty(plain)


@dataclass(frozen=True)
class UserInterest(Record):
    """An interest of a user, named by an item of the history; `share` is its share of the slots for interests."""

    kind: InterestKind
    item_id: str
    share: float
    items: int


@dataclass(frozen=True)
class Slate(RecordList[Recommendation]):
    """Recommendations for one user, in the order of their slots: a sequence of `Recommendation`.

    Attributes:
        items: the recommendations.
        slate_id: a new id; the log of slates has it if the slate was logged.
        user_id: None for a person without a user id.
        made_at: UTC.
        events: number of the user's events on items of the database; 0 for an unknown user.
        interests: interests found in the history.
        missing: number of slots that stayed empty, by kind with a quota; number of items that a floor lacks, by group.
        settings: of the slate, as JSON fields; those that differ from their defaults, and k and explore.
        versions: of the tables and models that made the slate: items, events, cold_start, semantic_ids, …; tables and
            models that the database lacks are left out.
        experiment: name of the experiment of `bucket`.
        bucket: stable number of the user in the experiment, 0 to 99; None without a user id. See `bucket_of`.
    """

    items: tuple[Recommendation, ...]
    slate_id: str
    user_id: str | None
    made_at: datetime
    events: int
    interests: tuple[UserInterest, ...]
    missing: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    experiment: str = ""
    bucket: int | None = None


@dataclass(frozen=True)
class SimilarItem(Record):
    """An item similar to another one.

    Attributes:
        score: cosine of their vectors; if the other item has frames, similarity of frames and pictures. -1 to 1.
        variants: number of variants of its product that may be shown; None if every item is listed.
        products: products that its videos show, with their seconds; None without any.
        moment: the stretch of its video that is most like the other item; None without frames.
        clip: where its video contains that of the other item; None if it does not.
    """

    item_id: str
    kind: str
    title: str | None
    score: float
    variants: int | None = None
    products: tuple[TimedProduct, ...] | None = None
    moment: Moment | None = None
    clip: ClipMatch | None = None

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON fields."""
        return _without_empty(super().to_dict() | {"score": round(self.score, 4)})


@dataclass(frozen=True)
class SimilarItems(RecordList[SimilarItem]):
    """Items similar to an item, the nearest first: a sequence of `SimilarItem`."""

    items: tuple[SimilarItem, ...]
    item_id: str  # the item that they are similar to
    videos: tuple[TimedProduct, ...] = ()  # videos that show this item, with their seconds


def _without_empty(plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out fields that only some items have."""
    optional = ("variants", "products", "moment", "clip", "replaces")
    return {name: value for name, value in plain.items() if name not in optional or value is not None}


@dataclass(frozen=True)
class InterestedUser(Record):
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
        return super().to_dict() | {"score": round(self.score, 4)}


@dataclass(frozen=True)
class InterestedUsers(RecordList[InterestedUser]):
    """Users who are probably interested in an item, the most interested first: a sequence of `InterestedUser`."""

    users: tuple[InterestedUser, ...]
    item_id: str
