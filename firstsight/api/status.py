"""The status of a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firstsight.encoders.base import EncoderSpec
from firstsight.records import Record
from firstsight.storage.columns import ColumnKind
from firstsight.storage.indexes.upkeep import TableState


@dataclass(frozen=True)
class ColumnStatus(Record):
    """A column that filters can use."""

    name: str
    type: ColumnKind  # "number", "flag", "time" or "text"
    empty: int  # items without a value


@dataclass(frozen=True)
class Status(Record):
    """Contents and history of a database."""

    db: str
    layout: int  # of its tables; the next write upgrades one below `firstsight.storage.tables.CURRENT_LAYOUT`
    encoder: EncoderSpec
    items: int
    views: int
    failures: int  # media that could not be used
    columns: tuple[ColumnStatus, ...]  # columns for filters, in the order of the table
    runs: tuple[dict[str, Any], ...]  # index runs and watches, oldest first
    tables: tuple[TableState, ...]  # files and indexes of `items` and `views`
    upkeep: tuple[dict[str, Any], ...]  # upkeep of these tables, manual and automatic; rows of `runs`, oldest first
