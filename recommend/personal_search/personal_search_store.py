"""Versions of personal search in the database: numbers as JSON, at most one of them in use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from firstsight.errors import QueryError, StoreError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.recommend.personal_search.interest_boost import BoostSettings
from firstsight.records import Record
from firstsight.storage.side_tables import TableLocation
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "personal_search_models"

RULE = "used only if the mean reciprocal rank of held-out clicks rises, with a 95 % interval above 0"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("in_use", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder of the items' vectors
    pa.field("settings", pa.string(), nullable=False),  # JSON: BoostSettings
    pa.field("figures", pa.string(), nullable=False),  # JSON
]


@dataclass(frozen=True)
class PersonalSearchVersion(Record):
    """One fitted version of personal search.

    Attributes:
        version: 1 and up.
        fitted_at: UTC.
        in_use: whether searches with a user are ordered with it; at most one version is in use.
        fingerprint: of the encoder of the items' vectors.
        settings: what a user's interest counts.
        figures: `searches` with a click on one of the first 100 results by a user with earlier events, `found` (their
            share of all such searches), `users`, and of the `held_out` searches, the newest ones: `mrr_before` and
            `mrr_after`, `gain_low` and `gain_high` (95 % interval of the difference, over users), `ndcg_before` and
            `ndcg_after` at 10.
    """

    version: int
    fitted_at: datetime
    in_use: bool
    fingerprint: str
    settings: BoostSettings
    figures: Mapping[str, float]

    @property
    def improves(self) -> bool:
        """Whether held-out clicks allow its use."""
        return self.settings.weight > 0 and self.figures["gain_low"] > 0

    def to_dict(self) -> dict[str, Any]:
        """The version as JSON fields."""
        head = {"version": self.version, "fitted_at": self.fitted_at.isoformat(), "in_use": self.in_use}
        return head | {"improves": self.improves} | self.settings.to_dict() | dict(self.figures)


def _to_row(version: PersonalSearchVersion) -> dict[str, Any]:
    row = {name: getattr(version, name) for name in ("fitted_at", "fingerprint", "figures")}
    return row | {"settings": json.dumps(asdict(version.settings))}


def _from_row(row: dict[str, Any]) -> PersonalSearchVersion:
    try:
        settings = BoostSettings(**json.loads(row["settings"]))
        if not (0 <= settings.weight < 100 and 0 < settings.bound < 100 and settings.interest in {"mean", "nearest"}):
            raise ValueError("a setting is out of range")
    except (ValueError, TypeError):  # not JSON, or settings that this firstsight does not know
        raise StoreError(
            f"the settings of personal search {row['version']} cannot be read: a newer firstsight wrote them, or they "
            "are damaged; fit it again: firstsight personal-search fit"
        ) from None
    return PersonalSearchVersion(
        row["version"], row["fitted_at"], row["in_use"], row["fingerprint"], settings, row["figures"]
    )


SHELF_SPEC: ShelfSpec[PersonalSearchVersion] = ShelfSpec(
    TABLE,
    pa.schema(_FIELDS),
    flag="in_use",
    noun="version of personal search",
    fit_command="firstsight personal-search fit",
    to_row=_to_row,
    from_row=_from_row,
)


class PersonalSearchShelf:
    """The versions of one database; those that searches used are kept in memory."""

    def __init__(self, location: TableLocation) -> None:
        self._shelf = ModelShelf(location, SHELF_SPEC)
        self._used: tuple[int, PersonalSearchVersion | None] | None = None
        self._known: dict[int, PersonalSearchVersion] = {}

    def versions(self) -> list[PersonalSearchVersion]:
        """All versions, oldest first."""
        return self._shelf.versions()

    def in_use(self) -> PersonalSearchVersion | None:
        """The version in use, if any."""
        state = self._shelf.state()
        if state is None:
            return None
        if self._used is None or self._used[0] != state:
            self._used = (state, next(iter(self._shelf.in_use()), None))
        return self._used[1]

    def get(self, version: int) -> PersonalSearchVersion:
        """A version by its number.

        Raises:
            QueryError: there is no such version.
        """
        if version not in self._known:
            self._known[version] = self._shelf.get(version)
        return self._known[version]


def add_version(store: Store, version: PersonalSearchVersion, *, use: bool, wait_s: float) -> PersonalSearchVersion:
    """Store a version as the next one, and put it into use if its figures allow it."""
    shelf = ModelShelf(store, SHELF_SPEC)
    with store.writing(wait_s):
        stored = shelf.add([version])[0]
        in_use = use and version.improves
        if in_use:
            shelf.use([stored.version])
    return replace(stored, in_use=in_use)


def use_version(store: Store, version: int | None, *, wait_s: float) -> None:
    """Put a version into use; None for no version.

    Raises:
        QueryError: there is no such version, it was fitted on vectors of another encoder, or held-out clicks did not
            improve.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    shelf = ModelShelf(store, SHELF_SPEC)
    if version is not None:
        found = shelf.get(version)
        figures = found.figures
        if found.fingerprint != store.spec.fingerprint:
            raise QueryError(f"personal search {version} was fitted on vectors of another encoder; fit it again")
        if not found.improves:
            raise QueryError(
                f"personal search {version} is not used: the mean reciprocal rank of {figures['held_out']:,} held-out "
                f"clicks is {figures['mrr_after']:.4f} with it and {figures['mrr_before']:.4f} without (gain between "
                f"{figures['gain_low']:.4f} and {figures['gain_high']:.4f}); it is {RULE}"
            )
    with store.writing(wait_s):
        shelf.switch(version)
