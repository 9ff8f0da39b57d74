"""Rerankers kept in the database: one row per version, of which at most one is promoted for each mode."""

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


class RerankerShelf:
    """The rerankers of one database. What was read of one state of their table is kept."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._absent = False
        self._promoted: dict[int, dict[str, RerankerVersion]] = {}

    def state(self) -> int | None:
        """The newest version of their table; None where no reranker was ever fitted.

        At an object-store address absence is found out once: asking again would cost every search a round trip.
        """
        table = self._open()
        return None if table is None else table.version

    def versions(self) -> list[RerankerVersion]:
        """Every reranker, oldest first."""
        table = self._open()
        return [] if table is None else sorted(_read(table, None), key=lambda one: one.version)

    def promoted(self, state: int | None) -> dict[str, RerankerVersion]:
        """The rerankers that searches use, by mode, as they were in a state of the table.

        Raises:
            QueryError: there was no such state.
        """
        if state is None:
            return {}
        if state not in self._promoted:
            try:
                table = shared_session(self.uri).open_table(TABLE)
                table.checkout(state)
                found = {one.mode: one for one in _read(table, "promoted")}
            except (ValueError, RuntimeError, OSError) as error:
                raise QueryError(
                    f"rerankers of a snapshot are not there any more ({first_line(error)}); begin again at the first "
                    "page, without it"
                ) from None
            if len(self._promoted) > 3:
                self._promoted.clear()
            self._promoted[state] = found
        return self._promoted[state]

    def add(self, made: RerankerVersion) -> RerankerVersion:
        """Keep a fitted model under the next version; the caller holds the writer lock.

        Raises:
            StoreError: the database cannot be written.
        """
        numbered = replace(made, version=max((one.version for one in self.versions()), default=0) + 1)
        row = asdict(numbered) | {"figures": json.dumps(dict(made.figures))}
        try:
            table = shared_session(self.uri).create_table(TABLE, schema=SCHEMA, exist_ok=True)
            table.add(pa.Table.from_pylist([row], schema=SCHEMA))
        except (OSError, RuntimeError, ValueError) as error:
            raise self._unwritable(error) from error
        self._absent = False
        return numbered

    def promote(self, chosen: RerankerVersion) -> None:
        """Let searches of its mode use a version, in the place of another; one commit, so that there are never two."""
        self._update(where=f"mode = {quote(chosen.mode)}", promoted=f"version = {chosen.version}")

    def drop(self, versions: Sequence[int]) -> None:
        """Let searches not use these versions any more."""
        self._update(where=is_in("version", versions), promoted="false")

    def _update(self, *, where: str, promoted: str) -> None:
        table = self._open()
        assert table is not None  # the caller has a version of it
        try:
            table.update(where=where, values_sql={"promoted": promoted})
        except (OSError, RuntimeError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> StoreError:
        return StoreError(f"{self.uri} could not be written ({first_line(error)}); see that there is room and access")

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
    """A query's text without what makes no other query of it: capitals and blanks."""
    return " ".join(text.lower().split())


def digest(text: str) -> str:
    """What tells whether a query was learned from, without keeping what people typed."""
    return hashlib.blake2b(normalise_text(text).encode(), digest_size=8).hexdigest()


def find_version(shelf: RerankerShelf, version: int | None) -> RerankerVersion:
    """A version by its number; the newest by default.

    Raises:
        QueryError: there is none.
    """
    there = shelf.versions()
    found = next((one for one in reversed(there) if version in (None, one.version)), None)
    if found is None:
        listed = ", ".join(str(one.version) for one in there) or "none; fit one with: firstsight rerank fit"
        named = "reranker" if version is None else f"reranker {version}"
        raise QueryError(f"there is no {named} in {shelf.uri}; its versions: {listed}")
    return found


def versions_to_evaluate(shelf: RerankerShelf, modes: Sequence[str]) -> list[RerankerVersion]:
    """What an evaluation shows beside modes: the promoted reranker of each, and the newest where that is another."""
    there = shelf.versions()
    shown = []
    for mode in modes:
        of_mode = [one for one in there if one.mode == mode]
        shown += [one for one in of_mode if one.promoted or one is of_mode[-1]]
    return shown


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
