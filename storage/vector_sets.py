"""The vector sets of a database: which encoders have vectors here, and which set is in force.

Set 0 is the pair of tables `items` and `views`. A further set has its own pair with complete rows, such as `items_e1`
and `views_e1`, so filters, indexes and searches work on it unchanged. The table `encoder_sets` has a row for each set,
and one row that names the set in force. A switch updates that row: one commit, which every reader sees at its next
refresh. A database without further sets has no such table, and nothing reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import pyarrow as pa
from lancedb.table import Table

from firstsight.records import Record
from firstsight.storage.side_tables import TableLocation, merge_small_files, open_side_table, upsert
from firstsight.storage.tables import TIME, key_field
from firstsight.vectors import EncoderSpec

TABLE: Final = "encoder_sets"

SetState = Literal["building", "ready"]
"""building: `reindex` has not reached every item yet; ready: it has."""

_POINTER: Final = "in force"
_DROPPED: Final = "dropped"
_SEPARATOR: Final = "_e"

SET_VERSIONS: Final = 10**12
"""Distance of the version numbers of two sets, so that no state of one set looks like a state of another."""

_SCHEMA: Final = pa.schema(
    [
        key_field("set_id"),  # number of a set, or "in force"
        pa.field("number", pa.int64(), nullable=False),  # in the row "in force": of the set in force
        pa.field("encoder", pa.string()),
        pa.field("fingerprint", pa.string()),
        pa.field("dim", pa.int64()),
        pa.field("state", pa.string()),
        pa.field("created_at", TIME),
        pa.field("changed_at", TIME, nullable=False),  # of the state, or of the set in force
        pa.field("previous", pa.int64()),  # only in the row "in force": the set before the last switch
        pa.field("synced", pa.string()),  # only in the row "in force": see VectorSets.synced
    ]
)


@dataclass(frozen=True)
class VectorSet(Record):
    """One set: the vectors of one encoder for the items of a database."""

    number: int
    encoder: str
    fingerprint: str
    dim: int
    state: SetState
    created_at: datetime  # UTC
    changed_at: datetime  # UTC; of its state, or when it stopped to be in force


@dataclass(frozen=True)
class VectorSets:
    """All sets of a database, in the order of their numbers."""

    sets: tuple[VectorSet, ...]
    in_force: int
    previous: int | None  # set that was in force before the last switch
    highest: int  # number of any set so far; numbers of dropped sets are not used again
    synced: str  # versions of the tables in force up to which the other set has all rows; empty if unknown

    def get(self, number: int) -> VectorSet | None:
        """The set of a number; None if there is none."""
        return next((found for found in self.sets if found.number == number), None)

    @property
    def standby(self) -> VectorSet | None:
        """The set that is not in force, which writers keep up to date; None without one."""
        return next((found for found in self.sets if found.number != self.in_force), None)


def table_name(base: str, number: int) -> str:
    """Name of the table `items` or `views` of a set."""
    return f"{base}{_SEPARATOR}{number}" if number else base


def base_name(name: str) -> str:
    """The table `items` or `views` whose columns a table of a set has; another table's own name."""
    base, _, number = name.partition(_SEPARATOR)
    return base if base in {"items", "views"} and number.isdecimal() else name


def open_sets_table(location: TableLocation) -> Table | None:
    """Open the table of sets; None if the database never had more than one."""
    return open_side_table(location, TABLE)


def read_sets(table: Table) -> VectorSets | None:
    """Read the sets; None if a kill came before the first row."""
    rows: list[dict[str, Any]] = table.search().limit(None).to_arrow().to_pylist()
    pointer = next((row for row in rows if row["set_id"] == _POINTER), None)
    if pointer is None:
        return None
    names = ("number", "encoder", "fingerprint", "dim", "state", "created_at", "changed_at")
    live = [row for row in rows if row["set_id"] != _POINTER and row["state"] != _DROPPED]
    sets = [VectorSet(**{name: row[name] for name in names}) for row in sorted(live, key=lambda row: row["number"])]
    highest = max(int(row["number"]) for row in rows)
    return VectorSets(tuple(sets), int(pointer["number"]), pointer["previous"], highest, pointer["synced"] or "")


def describe_set(number: int, spec: EncoderSpec, state: SetState, created_at: datetime | None = None) -> VectorSet:
    """The row of a set whose state changes now."""
    now = datetime.now(UTC)
    return VectorSet(number, spec.name, spec.fingerprint, spec.dim, state, created_at or now, now)


def write_set(location: TableLocation, described: VectorSet, *, dropped: bool = False) -> None:
    """Upsert the row of a set; the caller holds the writer lock.

    Args:
        dropped: the set no longer counts, and no writer keeps it up to date.

    Raises:
        StoreError: the database cannot be written.
    """
    row = described.to_row() | {"set_id": str(described.number)}
    _write(location, row | {"state": _DROPPED} if dropped else row)


def name_set_in_force(location: TableLocation, number: int, previous: int | None, synced: str) -> None:
    """Name the set in force, in one commit; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    values = {"number": number, "previous": previous, "synced": synced}
    _write(location, {"set_id": _POINTER, "changed_at": datetime.now(UTC), **values})


def note_synced(location: TableLocation, sets: VectorSets, synced: str) -> None:
    """Note up to which versions of the tables in force the other set has all rows.

    Raises:
        StoreError: the database cannot be written.
    """
    name_set_in_force(location, sets.in_force, sets.previous, synced)


def _write(location: TableLocation, row: Mapping[str, Any]) -> None:
    upsert(location, TABLE, _SCHEMA, "set_id", [{name: row.get(name) for name in _SCHEMA.names}])
    table = open_sets_table(location)
    if table is not None:
        merge_small_files(location, table)
