"""Store rerankers in the database: one row per version, at most one promoted version per mode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from firstsight.errors import QueryError, first_line
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.records import Record
from firstsight.storage.side_tables import DatabaseAddress
from firstsight.storage.tables import TIME

TABLE = "rerankers"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("promoted", pa.bool_(), nullable=False),
    pa.field("mode", pa.string(), nullable=False),  # search mode of its training queries, and of the queries it reranks
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder of its training scores
    pa.field("columns", pa.list_(pa.string()), nullable=False),  # catalogue columns that it uses as features
    pa.field("learned", pa.list_(pa.string()), nullable=False),  # digests of the training queries
    pa.field("figures", pa.string(), nullable=False),  # JSON
    pa.field("model", pa.string(), nullable=False),  # LightGBM's text format: trees as numbers, no code
]
SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True)
class RerankerVersion(Record):
    """One fitted reranker; the fields are those of the table."""

    version: int  # from 1; 0 before it is stored
    fitted_at: datetime  # UTC
    promoted: bool  # in use by searches
    mode: str
    fingerprint: str
    columns: tuple[str, ...]
    learned: tuple[str, ...]
    figures: Mapping[str, Any]  # on held-out queries: queries, ndcg_before, ndcg_after, p
    model: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for display: all but the model and the query digests."""
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
                    f"the rerankers of this snapshot were removed ({first_line(error)}); start again at the first "
                    "page, without the snapshot"
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
    """Lower-case a query text and collapse its white space, since neither makes a different query."""
    return " ".join(text.lower().split())


def digest(text: str) -> str:
    """Digest of a query text: it identifies training queries without storing the typed text."""
    return hashlib.blake2b(normalise_text(text).encode(), digest_size=8).hexdigest()


def find_version(shelf: RerankerShelf, version: int | None) -> RerankerVersion:
    """Find a version by its number; by default the latest.

    Raises:
        QueryError: the version does not exist, or there is no reranker.
    """
    return shelf.version(version)


def versions_to_evaluate(shelf: RerankerShelf, modes: Sequence[str]) -> list[RerankerVersion]:
    """Select the rerankers for an evaluation: for each mode the promoted one and the latest one."""
    versions = shelf.versions()
    selected = []
    for mode in modes:
        of_mode = [reranker for reranker in versions if reranker.mode == mode]
        selected += [reranker for reranker in of_mode if reranker.promoted or reranker is of_mode[-1]]
    return selected
