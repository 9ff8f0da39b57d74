"""Store rerankers in the database: one row per version, at most one promoted version per mode."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import QueryError, StoreError, first_line
from firstsight.storage.sessions import shared_session
from firstsight.storage.sql.conditions import is_in, quote
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
class RerankerVersion:
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

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for display: all but the model and the query digests."""
        return {
            "version": self.version,
            "fitted_at": self.fitted_at.isoformat(),
            "promoted": self.promoted,
            "mode": self.mode,
            "columns": list(self.columns),
            **self.figures,
        }


class RerankerShelf:
    """The rerankers of one database. Promoted versions are cached per state of the table."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._absent = False
        self._promoted: dict[int, dict[str, RerankerVersion]] = {}

    def state(self) -> int | None:
        """Return the latest version number of the table; None if no reranker was ever fitted.

        At an object-store address, absence is checked only once, to save a round trip in every search.
        """
        table = self._open()
        return None if table is None else table.version

    def versions(self) -> list[RerankerVersion]:
        """Return every reranker, oldest first."""
        table = self._open()
        return [] if table is None else sorted(_read(table, None), key=lambda reranker: reranker.version)

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
                table = shared_session(self.uri).open_table(TABLE)
                table.checkout(state)
                by_mode = {reranker.mode: reranker for reranker in _read(table, "promoted")}
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
        latest = max((reranker.version for reranker in self.versions()), default=0)
        numbered = replace(fitted, version=latest + 1)
        row = asdict(numbered) | {"figures": json.dumps(dict(fitted.figures))}
        try:
            table = shared_session(self.uri).create_table(TABLE, schema=SCHEMA, exist_ok=True)
            table.add(pa.Table.from_pylist([row], schema=SCHEMA))
        except (OSError, RuntimeError, ValueError) as error:
            raise self._unwritable(error) from error
        self._absent = False
        return numbered

    def promote(self, chosen: RerankerVersion) -> None:
        """Use a version in searches of its mode, instead of the present one; a single commit, so never two at once."""
        self._update(where=f"mode = {quote(chosen.mode)}", promoted=f"version = {chosen.version}")

    def drop(self, versions: Sequence[int]) -> None:
        """Stop the use of these versions in searches."""
        self._update(where=is_in("version", versions), promoted="false")

    def _update(self, *, where: str, promoted: str) -> None:
        table = self._open()
        assert table is not None  # the caller has read a version from it
        try:
            table.update(where=where, values_sql={"promoted": promoted})
        except (OSError, RuntimeError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self.uri} could not be written ({first_line(error)}); check the free space and the access rights"
        )

    def _open(self) -> Table | None:
        remote = "://" in self.uri
        if (remote and self._absent) or (not remote and not (Path(self.uri) / f"{TABLE}.lance").is_dir()):
            return None
        try:
            return shared_session(self.uri).open_table(TABLE)
        except (ValueError, FileNotFoundError):
            self._absent = True
            return None


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
    versions = shelf.versions()
    match = next((reranker for reranker in reversed(versions) if version in (None, reranker.version)), None)
    if match is None:
        listed = ", ".join(str(reranker.version) for reranker in versions)
        missing = "reranker" if version is None else f"reranker {version}"
        hint = listed or "none; fit one with: firstsight rerank fit"
        raise QueryError(f"there is no {missing} in {shelf.uri}; its versions: {hint}")
    return match


def versions_to_evaluate(shelf: RerankerShelf, modes: Sequence[str]) -> list[RerankerVersion]:
    """Select the rerankers for an evaluation: for each mode the promoted one and the latest one."""
    versions = shelf.versions()
    selected = []
    for mode in modes:
        of_mode = [reranker for reranker in versions if reranker.mode == mode]
        selected += [reranker for reranker in of_mode if reranker.promoted or reranker is of_mode[-1]]
    return selected


def _read(table: Table, condition: str | None) -> list[RerankerVersion]:
    search = table.search()
    rows = (search if condition is None else search.where(condition)).limit(None).to_arrow().to_pylist()
    return [
        RerankerVersion(
            **row
            | {
                "columns": tuple(row["columns"]),
                "learned": tuple(row["learned"]),
                "figures": json.loads(row["figures"]),
            }
        )
        for row in rows
    ]
