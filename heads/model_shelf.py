"""Versioned models in the database: one table for each kind of model, one row for each version.

Versions are numbered from 1 and never deleted. A flag marks the versions in use: at most one, or one for each value of
a slot column, such as the policy of a safety head. The caller decides whether a version may be used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import FirstsightError, QueryError, StoreError
from firstsight.storage.side_tables import TableLocation, open_side_table, unwritable, upsert
from firstsight.storage.sql.conditions import is_in, quote

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class ShelfSpec(Generic[T]):
    """One kind of model and its table."""

    table: str
    schema: pa.Schema  # with the columns `version` (the primary key) and `figures` (JSON)
    flag: str  # boolean column: the version is in use
    noun: str  # of the model in messages, such as "reranker"
    fit_command: str  # fits a first version
    to_row: Callable[[T], Row]  # `figures` as a mapping; the shelf sets version and flag
    from_row: Callable[[Row], T]  # `figures` as a mapping; only `listed` columns in `versions()`
    slot: str | None = None  # column with one version in use for each value; None: one version in use in all
    slot_noun: str = "database"
    listed: Sequence[str] | None = None  # columns that `versions()` reads; None: all
    error: type[FirstsightError] = QueryError  # raised for unknown versions


class ModelShelf(Generic[T]):
    """The versions of one kind of model in one database. The caller of methods that write holds the writer lock."""

    def __init__(self, location: TableLocation, spec: ShelfSpec[T]) -> None:
        self._location = location
        self._spec = spec
        self._absent = False

    def state(self) -> int | None:
        """Return the version number of the table, which every write raises; None if no model was ever stored.

        At an object-store address, absence is checked only once, to save a round trip in every search.
        """
        table = self._open()
        return None if table is None else table.version

    def versions(self, slot: str | None = None) -> list[T]:
        """Return all versions, oldest first.

        Args:
            slot: only versions of this slot.
        """
        return self._models(None if slot is None else f"{self._spec.slot} = {quote(slot)}", self._spec.listed)

    def get(self, version: int | None = None) -> T:
        """Return a version; by default the newest.

        Raises:
            QueryError, or the error of the spec: there is no such version.
        """
        number = self._newest() if version is None else version
        models = self._models(f"version = {number:d}")
        if not models:
            raise self._unknown(version)
        return models[0]

    def in_use(self, state: int | None = None) -> list[T]:
        """Return the versions in use, oldest first.

        Args:
            state: an earlier state of the table, from `state()`; by default the newest.

        Raises:
            ValueError, RuntimeError, OSError: LanceDB's own, if the earlier state no longer exists.
        """
        if state is None:
            return self._models(self._spec.flag)
        table = self._location.session.open_table(self._spec.table)
        table.checkout(state)
        return self._parse(_read(table, self._spec.flag))

    def add(self, models: Sequence[T]) -> list[T]:
        """Store models under the next versions, in one commit and not in use.

        Returns:
            The models with their versions, as they are stored.

        Raises:
            StoreError: the database cannot be written.
        """
        self._absent = False
        rows = [
            row | {"version": version, self._spec.flag: False, "figures": json.dumps(dict(row["figures"]))}
            for version, row in enumerate(map(self._spec.to_row, models), self._newest() + 1)
        ]
        upsert(self._location, self._spec.table, self._spec.schema, "version", rows)
        return self._parse(rows)

    def use(self, versions: Sequence[int]) -> None:
        """Put versions into use, each instead of the present one of its slot; one commit changes all or none.

        Raises:
            QueryError, or the error of the spec: a version does not exist, or two versions are for one slot.
            StoreError: the database cannot be written.
        """
        if not versions:
            return
        spec = self._spec
        slot_of = {row["version"]: row[spec.slot] if spec.slot else self._location.uri for row in self._rows()}
        missing = [version for version in versions if version not in slot_of]
        if missing:
            raise self._unknown(missing[0])
        slots = [slot_of[version] for version in versions]
        if len(set(slots)) < len(slots):
            raise spec.error(f"{spec.noun}s {list(versions)} are for {slots}; promote one of each {spec.slot_noun}")
        self._update(is_in(spec.slot, slots) if spec.slot else "true", is_in("version", versions))

    def chosen(self, version: int | None = None) -> T | None:
        """Return a version by its number; by default the first one in use, None without one.

        Raises:
            QueryError, or the error of the spec: there is no such version.
        """
        return next(iter(self.in_use()), None) if version is None else self.get(version)

    def switch(self, version: int | None) -> None:
        """Put a version into use instead of the present one of its slot; None takes all versions out of use.

        Raises:
            QueryError, or the error of the spec: there is no such version.
            StoreError: the database cannot be written.
        """
        if version is None:
            self.drop()
        else:
            self.use([version])

    def drop(self, versions: Sequence[int] | None = None) -> None:
        """Take versions out of use, by default all; they stay stored.

        Raises:
            StoreError: the database cannot be written.
        """
        if versions is None or versions:
            self._update(self._spec.flag if versions is None else is_in("version", versions), "false")

    def _open(self) -> Table | None:
        if self._absent:
            return None
        table = open_side_table(self._location, self._spec.table)
        self._absent = table is None and self._location.folder is None
        return table

    def _models(self, condition: str | None, columns: Sequence[str] | None = None) -> list[T]:
        table = self._open()
        return [] if table is None else self._parse(_read(table, condition, columns))

    def _parse(self, rows: list[Row]) -> list[T]:
        models = []
        for row in sorted(rows, key=lambda row: row["version"]):
            try:
                figures = dict(json.loads(row["figures"]))
            except (ValueError, TypeError):
                raise StoreError(
                    f"the figures of {self._spec.noun} {row['version']} of {self._location.uri} are damaged; fit it "
                    f"again: {self._spec.fit_command}"
                ) from None
            models.append(self._spec.from_row(row | {"figures": figures}))
        return models

    def _rows(self) -> list[Row]:
        table, slot = self._open(), self._spec.slot
        return [] if table is None else _read(table, None, ["version", *([slot] if slot else [])])

    def _newest(self) -> int:
        return max((row["version"] for row in self._rows()), default=0)

    def _unknown(self, version: int | None) -> FirstsightError:
        spec, known = self._spec, ", ".join(str(number) for number in sorted(row["version"] for row in self._rows()))
        model = spec.noun if version is None else f"{spec.noun} {version}"
        listed = known or f"none; fit one with: {spec.fit_command}"
        return spec.error(f"there is no {model} in {self._location.uri}; its versions: {listed}")

    def _update(self, where: str, in_use: str) -> None:
        table = self._open()
        if table is None:
            return
        try:
            table.update(where=where, values_sql={self._spec.flag: in_use})
        except (OSError, RuntimeError) as error:
            raise unwritable(self._location, error) from error


def _read(table: Table, condition: str | None, columns: Sequence[str] | None = None) -> list[Row]:
    search = table.search()
    if condition is not None:
        search = search.where(condition)
    if columns is not None:
        search = search.select(list(columns))
    return search.limit(None).to_arrow().to_pylist()
