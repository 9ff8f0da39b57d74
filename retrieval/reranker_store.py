"""Rerankers kept in the database: one row per version, of which at most one is promoted for each mode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from firstsight.errors import QueryError, first_line
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.storage.side_tables import DatabaseAddress
from firstsight.storage.tables import TIME

TABLE = "rerankers"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("promoted", pa.bool_(), nullable=False),
    pa.field("mode", pa.string(), nullable=False),  # of the searches that it learned from, and reranks
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder whose scores it learned from
    pa.field("columns", pa.list_(pa.string()), nullable=False),  # of the catalogue that it looks at
    pa.field("learned", pa.list_(pa.string()), nullable=False),  # digests of the queries that it learned from
    pa.field("figures", pa.string(), nullable=False),  # JSON
    pa.field("model", pa.string(), nullable=False),  # LightGBM's own text: trees as numbers, nothing that runs
]
SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True)
class RerankerVersion:
    """One fitted reranker."""

    version: int
    fitted_at: datetime  # UTC
    promoted: bool
    mode: str
    fingerprint: str
    columns: tuple[str, ...]
    learned: tuple[str, ...]
    figures: Mapping[str, Any]  # held out: queries, ndcg_before, ndcg_after, p
    model: str

    def as_dict(self) -> dict[str, Any]:
        """What a person wants to know of it: everything but the trees and the digests."""
        return {
            "version": self.version,
            "fitted_at": self.fitted_at.isoformat(),
            "promoted": self.promoted,
            "mode": self.mode,
            "columns": list(self.columns),
            **self.figures,
        }


def _from_row(row: dict[str, Any]) -> RerankerVersion:
    return RerankerVersion(**row | {"columns": tuple(row["columns"]), "learned": tuple(row["learned"])})


SHELF_SPEC = ShelfSpec(
    TABLE,
    SCHEMA,
    flag="promoted",
    slot="mode",
    slot_noun="mode",
    noun="reranker",
    fit_command="firstsight rerank fit",
    to_row=asdict,
    from_row=_from_row,
)


class RerankerShelf:
    """The rerankers of one database. Promoted versions are cached per state of the table."""

    def __init__(self, uri: str) -> None:
        self._shelf = ModelShelf(DatabaseAddress(uri), SHELF_SPEC)
        self._promoted: dict[int, dict[str, RerankerVersion]] = {}

    def state(self) -> int | None:
        """Return the latest version number of the table; None if no reranker was ever fitted."""
        return self._shelf.state()

    def versions(self) -> list[RerankerVersion]:
        """Return every reranker, oldest first."""
        return self._shelf.versions()

    def version(self, version: int | None) -> RerankerVersion:
        """Return a version by its number; None means the latest. Errors as `find_version`."""
        return self._shelf.get(version)

    def promoted(self, state: int | None) -> dict[str, RerankerVersion]:
        """Return the promoted rerankers of a state of the table, by mode.

        Args:
            state: from `state()`; None means no rerankers.

        Raises:
            QueryError: the state no longer exists.
        """
        if state is None:
            return {}
        if state not in self._promoted:
            try:
                by_mode = {reranker.mode: reranker for reranker in self._shelf.in_use(state)}
            except (ValueError, RuntimeError, OSError) as error:
                raise QueryError(
                    f"rerankers of a snapshot are not there any more ({first_line(error)}); begin again at the first "
                    "page, without it"
                ) from None
            if len(self._promoted) > 3:
                self._promoted.clear()
            self._promoted[state] = by_mode
        return self._promoted[state]

    def add(self, fitted: RerankerVersion) -> RerankerVersion:
        """Store a fitted model under the next version number; the caller holds the writer lock.

        Raises:
            StoreError: the database cannot be written.
        """
        return self._shelf.add([fitted])[0]

    def promote(self, chosen: RerankerVersion) -> None:
        """Use a version in searches of its mode, instead of the present one."""
        self._shelf.use([chosen.version])

    def drop(self, versions: Sequence[int]) -> None:
        """Stop the use of these versions in searches."""
        self._shelf.drop(versions)


def normalise_text(text: str) -> str:
    """A query's text without what makes no other query of it: capitals and blanks."""
    return " ".join(text.lower().split())


def digest(text: str) -> str:
    """What tells whether a query was learned from, without keeping what people typed."""
    return hashlib.blake2b(normalise_text(text).encode(), digest_size=8).hexdigest()


def find_version(shelf: RerankerShelf, version: int | None) -> RerankerVersion:
    """Find a version by its number; by default the latest.

    Raises:
        QueryError: the version does not exist, or there is no reranker.
    """
    return shelf.version(version)


def versions_to_evaluate(shelf: RerankerShelf, modes: Sequence[str]) -> list[RerankerVersion]:
    """What an evaluation shows beside modes: the promoted reranker of each, and the newest where that is another."""
    there = shelf.versions()
    shown = []
    for mode in modes:
        of_mode = [one for one in there if one.mode == mode]
        shown += [one for one in of_mode if one.promoted or one is of_mode[-1]]
    return shown
