"""Settings of a slate, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from firstsight.errors import QueryError

KINDS = ("product", "video", "live")


MAX_SLOTS = 1_000


@dataclass(frozen=True)
class SlateSettings:
    """What a slate should be like.

    Attributes:
        k: slots, 1 to 1,000.
        quotas: slots of a kind, exactly: a count, or a share between 0 and 1 of k. Slots that no quota names go to
            the other kinds; without quotas, any kind may stand anywhere.
        explore: the share of slots that explore, 0 to 1.
        diversity: 0 to 1, what unlikeness to the items before counts (MMR).
        near_duplicate: the cosine from which two items show the same and only the better one stays; 1 keeps all but
            identical vectors.
        cap: most items of one value of the column given with it.
        merge: "score" compares kinds by standardised scores; "rank" by reciprocal rank, so that kinds alternate.
        age: the viewer's, in years; None where it is not known, and then nothing limited by age is shown.
        repeat_after_days: items that the user has had to do with come back after so long; None for never.
    """

    k: int = 20
    quotas: Mapping[str, float] = field(default_factory=dict)
    explore: float = 0.1
    diversity: float = 0.0
    near_duplicate: float = 0.95
    cap: int | None = None
    merge: Literal["score", "rank"] = "score"
    age: int | None = None
    repeat_after_days: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_SLOTS:
            raise QueryError(f"a slate of {self.k} slots cannot be made; k is 1 to {MAX_SLOTS:,}")
        for name in ("explore", "diversity"):
            if not 0 <= getattr(self, name) <= 1:
                raise QueryError(f"{name} is {getattr(self, name)}; it is a share, 0 to 1")
        if not 0 < self.near_duplicate <= 1:
            raise QueryError(f"near_duplicate is {self.near_duplicate}; it is a cosine above 0, at most 1")
        if self.cap is not None and self.cap < 1:
            raise QueryError(f"a cap of {self.cap} leaves nothing; it is 1 or more")
        if self.merge not in ("score", "rank"):
            raise QueryError(f"merge is {self.merge!r}; it is score or rank")
        if self.age is not None and self.age < 0:
            raise QueryError(f"an age of {self.age} years cannot be")
        if self.repeat_after_days is not None and not self.repeat_after_days >= 0:
            raise QueryError(f"repeat_after_days is {self.repeat_after_days}; it is 0 or more")
        self.counts()

    def counts(self) -> dict[str, int]:
        """Slots by kind for which there is a quota; shares become counts by largest remainder.

        Raises:
            QueryError: an unknown kind, a negative quota, or more slots than there are.
        """
        shares = {kind: float(q) for kind, q in self.quotas.items() if isinstance(q, float) and q <= 1}
        counts = {kind: int(q) for kind, q in self.quotas.items() if kind not in shares and float(q).is_integer()}
        for kind, quota in self.quotas.items():
            if kind not in KINDS:
                raise QueryError(f"there is no kind {kind!r} to give slots to; kinds are {', '.join(KINDS)}")
            if not quota >= 0 or (kind not in shares and kind not in counts):
                raise QueryError(f"a quota of {quota} for {kind} cannot be; give a count, or a share such as 0.5")
        exact = {kind: share * self.k for kind, share in shares.items()}
        counts |= {kind: int(slots + 1e-9) for kind, slots in exact.items()}
        left = round(sum(exact.values())) - sum(counts[kind] for kind in exact)
        for kind in sorted(exact, key=lambda kind: (counts[kind] - exact[kind], kind))[: max(left, 0)]:
            counts[kind] += 1
        if sum(counts.values()) > self.k:
            asked = ", ".join(f"{kind} {count}" for kind, count in counts.items())
            raise QueryError(f"quotas of {asked} are more than the {self.k} slots there are; raise k or lower them")
        return counts
