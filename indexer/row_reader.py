"""Read the fields and columns of an item from a row of a catalogue, as its plan says."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import (
    KINDS,
    MEDIA,
    PRICES,
    TIMED_PRODUCTS,
    TIMES,
    CatalogOptions,
    ItemKind,
)
from firstsight.indexer.columns.column_plan import ColumnPlan
from firstsight.indexer.columns.column_values import ColumnValue, as_text, as_utc
from firstsight.indexer.columns.currencies import currency_code
from firstsight.indexer.columns.html_text import as_plain_line, as_plain_text
from firstsight.indexer.columns.media_cells import read_media
from firstsight.indexer.columns.media_values import MediaFinder
from firstsight.indexer.columns.prices import NoPriceError, Price, parse_price
from firstsight.indexer.columns.row_values import as_group, name_in
from firstsight.indexer.columns.sample import is_empty
from firstsight.indexer.columns.stored_names import CONTROL_CHARACTERS, StoredNames
from firstsight.indexer.columns.subtitle_cells import SubtitleSource, read_subtitles
from firstsight.indexer.columns.timed_products import TimedProductCell, read_timed_products
from firstsight.indexer.formats.source import EmbeddedMedium, Row
from firstsight.records import Record

MAX_ID = 512  # characters; a longer id is probably a wrong --map


@dataclass(frozen=True, slots=True)
class CatalogItem(Record):
    """A checked row of a catalogue, or the merged rows of several variants."""

    item_id: str
    kind: ItemKind
    title: str | None
    text: str | None
    images: tuple[str, ...]
    videos: tuple[str, ...]
    created_at: datetime | None
    starts_at: datetime | None
    expires_at: datetime | None
    columns: Mapping[str, ColumnValue]
    timed_products: tuple[TimedProductCell, ...] = ()  # that its video shows
    subtitles: tuple[SubtitleSource, ...] = ()


def placeholder_address(data: bytes) -> str:
    """An address for bytes that are not stored, as in the check of a catalogue: equal bytes, equal addresses."""
    return f"embedded://{hashlib.blake2b(data, digest_size=16).hexdigest()}"


class RowReader:
    """Reads rows of one catalogue.

    Attributes:
        store_medium: stores a picture or video whose bytes are in a row, and returns its address.

    Args:
        stored: names of the plain columns in the database.
    """

    def __init__(self, plan: ColumnPlan, options: CatalogOptions, finder: MediaFinder, stored: Iterable[str]) -> None:
        self.plan = plan
        self.names = StoredNames(plan.hidden, stored, plan.shop_names)
        self.prices: Counter[str] = Counter()  # price field -> values so far
        self.no_prices: Counter[str] = Counter()  # price field -> values so far that cannot be parsed
        self.no_price_examples: dict[str, str] = {}  # price field -> why the first of them cannot
        self.store_medium: Callable[[bytes], str] = placeholder_address
        self._options = options
        self._finder = finder

    def has_id(self, row: Row) -> bool:
        """Whether a row has the column of the ids."""
        return self.plan.fields.get("item_id", "item_id") in row

    def item_id(self, row: Row) -> str:
        """The id of a row.

        Raises:
            CatalogError: it is empty, too long or contains control characters.
        """
        item_id = self._text(row, "item_id")
        if item_id is None:
            raise CatalogError("item_id is empty; every row needs one")
        if self.plan.decimal_ids:
            whole, _, decimals = item_id.partition(".")
            item_id = whole if whole.isdecimal() and not decimals.strip("0") else item_id
        if len(item_id) > MAX_ID:
            raise CatalogError(f"item_id {item_id[:40]!r}… has {len(item_id):,} characters; the maximum is {MAX_ID}")
        if CONTROL_CHARACTERS.search(item_id):
            raise CatalogError(f"item_id {item_id!r} contains control characters; remove them")
        return item_id

    def known(self, row: Row, *, keep_html: bool = False) -> dict[str, object]:
        """The fields of `CatalogItem` other than its id and columns.

        Args:
            keep_html: leave HTML in title and text as it is; the check of a catalogue takes half the time then.

        Raises:
            CatalogError: a value has another form.
        """
        kind = self._text(row, "kind") or "product"
        if kind not in KINDS:
            raise CatalogError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
        title, text = self._text(row, "title"), self._text(row, "text")
        if not keep_html:
            title, text = title and (as_plain_line(title) or None), text and (as_plain_text(text) or None)
        media = self._media(row)
        return {
            "kind": kind,
            "title": title,
            "text": text,
            **{ours: tuple(media[ours]) for ours in MEDIA},
            "subtitles": read_subtitles(row.get(self.plan.fields.get("subtitles", ""))),
            **{name: self._time(row, name) for name in TIMES},
            TIMED_PRODUCTS: tuple(self.timed_products(row)[0]),
        }

    def own(self, row: Row) -> Iterator[tuple[str, object]]:
        """Yield the other columns of a row: plain columns with their values, and the shop columns.

        A price that cannot be parsed is None, and counted in `no_prices`.

        Raises:
            CatalogError: a column cannot be stored.
        """
        for name, value in row.items():
            if not isinstance(value, EmbeddedMedium) and (stored_name := self.names.of(name)):
                yield stored_name, value
        yield from self._shop_columns(row)

    def timed_products(self, row: Row) -> tuple[list[TimedProductCell], list[str]]:
        """The timed products of a row, and a sentence for each one that cannot be read."""
        return read_timed_products(row.get(self.plan.fields.get(TIMED_PRODUCTS, "")))

    def group(self, row: Row) -> str | None:
        """The id of the product that a row is a variant of."""
        column = self.plan.fields.get("group_id", "")
        return as_group(row.get(column), column)

    def raw_price(self, row: Row, ours: str) -> object:
        """The price of a row as it is in the catalogue."""
        return row.get(self.plan.fields.get(ours, ""))

    def describe_prices(self, ours: str, *, as_text: bool) -> str:
        """Say which prices of the rows so far could not be parsed; empty if all could."""
        reason = self.no_price_examples.get(ours, "")
        if as_text:
            return f"stays text: {reason}" if reason else "text in the database; a number once all values are prices"
        return reason and f"{self.no_prices[ours]:,} of {self.prices[ours]:,} values are left empty: {reason}"

    def _shop_columns(self, row: Row) -> Iterator[tuple[str, object]]:
        stored_names, fields = self.plan.shop_names, self.plan.fields
        currency: str | None = None
        for ours in PRICES:
            column = fields.get(ours, "")
            if column in row:
                price = self._price(row, ours)
                if ours == "sale_price" and price and price.amount == 0:  # shops write 0 for an article not on sale
                    price = None
                currency = currency or (price.currency if price else None)
                yield stored_names[ours], price and price.amount
        if (group := self.group(row)) is not None:
            yield stored_names["group_id"], group
        if category := name_in(row.get(fields.get("category", ""))):
            yield stored_names["category"], category
        named = row.get(fields.get("currency", ""))
        if isinstance(named, str) and named.strip():
            currency = currency_code(named)
        elif not self.plan.currency_from_price:
            currency = None
        if currency:
            yield stored_names["currency"], currency

    def _price(self, row: Row, ours: str) -> Price | None:
        column = self.plan.fields[ours]
        try:
            price = parse_price(row[column], self.plan.decimal_marks.get(column, "."))
        except NoPriceError as error:
            self.no_prices[ours] += 1
            self.no_price_examples.setdefault(ours, str(error))
            price = None
        self.prices[ours] += not is_empty(row[column])
        return price

    def _text(self, row: Row, ours: str) -> str | None:
        value = row.get(self.plan.fields.get(ours, ""))
        if value is None or (isinstance(value, float) and value != value):
            return None
        if isinstance(value, list | dict | bytes | EmbeddedMedium):
            raise CatalogError(f"{ours} must be text, not {type(value).__name__}")
        return as_text(value).strip() or None

    def _media(self, row: Row) -> dict[str, dict[str, None]]:
        media: dict[str, dict[str, None]] = {ours: {} for ours in MEDIA}  # equal addresses count once
        for column in self.plan.media:
            if column.name in row and not (column.alternative and media[column.field]):
                found = read_media(row[column.name], column, self._finder, self._options.list_separator)
                for ours, medium in found:
                    address = self.store_medium(medium.data) if isinstance(medium, EmbeddedMedium) else medium
                    media[ours][address] = None
        return media

    def _time(self, row: Row, ours: str) -> datetime | None:
        value = row.get(self.plan.fields.get(ours, ""))
        if value is None or value == "":
            return None
        try:
            if isinstance(value, date):
                return as_utc(value)
            return as_utc(datetime.fromisoformat(str(value).strip()))
        except (ValueError, OverflowError):  # OverflowError: before year 1 in UTC
            raise CatalogError(f"{ours} {value!r} is not an ISO 8601 time such as 2026-05-01T12:00:00Z") from None
