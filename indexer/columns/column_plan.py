"""The use of each column of a catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firstsight.indexer.columns.catalog_options import KNOWN, SHOP_COLUMNS
from firstsight.indexer.columns.media_cells import MediaColumn
from firstsight.indexer.columns.prices import DecimalMark
from firstsight.records import Record


@dataclass(frozen=True)
class ColumnUse(Record):
    """The use of one column of a catalogue, for people."""

    column: str  # name in the catalogue
    field: str  # field that it is read as, such as title; empty for a plain column
    stored_as: str  # column of the database with its values; empty if they are not stored
    filled: float  # share of rows with a value, 0 to 1
    example: str  # its first value, shortened
    note: str  # why it is not used as its name or values suggest; else empty


@dataclass(frozen=True)
class ColumnPlan:
    """How the columns of a catalogue are read."""

    fields: Mapping[str, str]  # field -> column, except media; fields without a column are missing
    media: Sequence[MediaColumn]  # in the order of an item's media
    hidden: frozenset[str]  # columns that are not stored under their own name
    shop_names: Mapping[str, str]  # field of SHOP_COLUMNS -> column of the database
    decimal_marks: Mapping[str, DecimalMark] = field(default_factory=dict)  # of price columns, by column
    notes: Mapping[str, str] = field(default_factory=dict)  # column -> why it is not used
    not_media: frozenset[str] = frozenset()  # columns with pictures that are knowingly not used, such as thumbnails
    variant_candidates: frozenset[str] = frozenset()  # plain columns that may tell variants apart
    rejected_ids: Mapping[str, str] = field(default_factory=dict)  # column -> why it is not the id
    decimal_ids: bool = False  # ids such as 123.0, which are read as 123
    currency_from_price: bool = True  # no column has the currency, so it is read from the prices

    def field_of(self, column: str) -> str:
        """The field that a column is read as; empty for a plain column."""
        names = [ours for ours, theirs in self.fields.items() if theirs == column]
        names += [medium.field for medium in self.media if medium.name == column]
        ordered = [ours for ours in (*KNOWN, *SHOP_COLUMNS) if ours in names]
        return ", ".join(dict.fromkeys(ordered))
