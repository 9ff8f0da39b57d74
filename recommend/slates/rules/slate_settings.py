"""Settings of a slate, with their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict

from firstsight.errors import QueryError
from firstsight.recommend.slates.rules.group_limits import GroupLimit, check_contradictions, read_caps, read_floors

KINDS = ("product", "video", "live")
MAX_SLOTS = 1_000


class SlateOptions(TypedDict, total=False):
    """The fields of `SlateSettings`, as keyword arguments."""

    k: int
    quotas: Mapping[str, float]
    explore: float
    diversity: float
    near_duplicate: float
    cap: int | None
    caps: Mapping[str, float]
    floors: Mapping[str, float]
    merge: Literal["score", "rank"]
    age: int | None
    collapse: Literal["none"] | None
    repeat_after_days: float | None
    allow_copies: bool


def check_collapse(collapse: object) -> None:
    """Refuse a value of `collapse` that slates and similar items do not have.

    Raises:
        QueryError: it is neither None nor "none".
    """
    if collapse not in (None, "none"):
        raise QueryError(f"collapse is {collapse!r}; give none for every variant, or leave it out")


@dataclass(frozen=True)
class SlateSettings:
    """Settings of a slate.

    Attributes:
        k: number of slots, 1 to 1,000.
        quotas: exact number of slots by kind: a count, or a share of k between 0 and 1. The other slots go to the kinds
            without a quota. Without any quotas, every slot takes any kind.
        explore: share of slots that explore, 0 to 1.
        diversity: weight of the difference from the items already in the slate (MMR), 0 to 1.
        near_duplicate: cosine from which two items count as the same, and only the better one is kept; 1 removes
            identical vectors only.
        cap: maximum number of items with the same value of the capped column.
        caps: maximum number of items by group: a count, or a share of k between 0 and 1. A group is a column, which
            means each of its values (`brand`), a value (`seller=acme`), or `new`, the items without events.
        floors: minimum number of items by group, as for `caps`; a group is a value or `new`.
        merge: "score" compares kinds by standardised scores; "rank" by reciprocal rank, so that kinds alternate.
        age: the viewer's age in years. None if unknown: no item with a minimum age is shown.
        collapse: None shows one variant of each product if the database knows products, and no variant of a product in
            the history; "none" shows every item.
        repeat_after_days: days after which an item that the user had an event on may be shown again; None for never.
        allow_copies: also show near-duplicates of the slate's items and of those in the history, such as reposts of a
            watched video. By default a group of near-duplicates counts as one item; see `firstsight duplicates`.

    Raises:
        QueryError: a value is out of range, quotas or floors need more than k slots, or a floor is above a cap.
    """

    k: int = 20
    quotas: Mapping[str, float] = field(default_factory=dict)
    explore: float = 0.1
    diversity: float = 0.0
    near_duplicate: float = 0.95
    cap: int | None = None
    caps: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    merge: Literal["score", "rank"] = "score"
    age: int | None = None
    collapse: Literal["none"] | None = None
    repeat_after_days: float | None = None
    allow_copies: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_SLOTS:
            raise QueryError(f"a slate of {self.k} slots is out of range; k must be 1 to {MAX_SLOTS:,}")
        for name in ("explore", "diversity"):
            if not 0 <= getattr(self, name) <= 1:
                raise QueryError(f"{name} is {getattr(self, name)}; it must be a share, 0 to 1")
        if not 0 < self.near_duplicate <= 1:
            raise QueryError(f"near_duplicate is {self.near_duplicate}; it must be a cosine above 0, at most 1")
        if self.cap is not None and self.cap < 1:
            raise QueryError(f"a cap of {self.cap} allows no items; it must be 1 or more")
        if self.merge not in ("score", "rank"):
            raise QueryError(f"merge is {self.merge!r}; it must be score or rank")
        check_collapse(self.collapse)
        if self.age is not None and self.age < 0:
            raise QueryError(f"an age of {self.age} years is out of range; it must be 0 or more")
        if self.repeat_after_days is not None and not self.repeat_after_days >= 0:
            raise QueryError(f"repeat_after_days is {self.repeat_after_days}; it must be 0 or more")
        self.counts()
        self.group_limits()

    def group_limits(self) -> tuple[tuple[GroupLimit, ...], tuple[GroupLimit, ...]]:
        """Floors and caps as numbers of slots.

        Raises:
            QueryError: a number is out of range, the floors need more than k slots, or a floor is above a cap.
        """
        floors, caps = read_floors(self.floors, self.k), read_caps(self.caps, self.k)
        check_contradictions(floors, caps)
        return floors, caps

    def counts(self) -> dict[str, int]:
        """Number of slots by kind, for kinds with a quota; shares become counts by the largest remainder.

        Raises:
            QueryError: a kind is unknown, a quota is negative, or the quotas need more than k slots.
        """
        shares = {kind: float(q) for kind, q in self.quotas.items() if isinstance(q, float) and q <= 1}
        counts = {kind: int(q) for kind, q in self.quotas.items() if kind not in shares and float(q).is_integer()}
        for kind, quota in self.quotas.items():
            if kind not in KINDS:
                raise QueryError(f"there is no kind {kind!r} for a quota; kinds are {', '.join(KINDS)}")
            if not quota >= 0 or (kind not in shares and kind not in counts):
                raise QueryError(f"a quota of {quota} for {kind} is out of range; give a count, or a share such as 0.5")
        exact = {kind: share * self.k for kind, share in shares.items()}
        counts |= {kind: int(slots + 1e-9) for kind, slots in exact.items()}
        left = round(sum(exact.values())) - sum(counts[kind] for kind in exact)
        for kind in sorted(exact, key=lambda kind: (counts[kind] - exact[kind], kind))[: max(left, 0)]:
            counts[kind] += 1
        if sum(counts.values()) > self.k:
            listed = ", ".join(f"{kind} {count}" for kind, count in counts.items())
            raise QueryError(f"quotas of {listed} need more than the {self.k} slots; raise k or lower them")
        return counts

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON fields: k, explore, and those that differ from their defaults."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        kept = {name: value for name, value in plain.items() if name in ("k", "explore") or value != _DEFAULTS[name]}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in kept.items()}


_DEFAULTS = {one.name: getattr(SlateSettings(), one.name) for one in fields(SlateSettings)}
