"""The check of all rows of a catalogue before anything is encoded, and its items.

A catalogue is read twice. The first pass decides from the first rows what each column is used for, checks each row,
finds repeated ids and variants of products, and decides the kind of each column. It takes seconds where encoding takes
hours, so a mistake in row 90,000 is reported at once. The second pass yields the items. A temporary SQLite file holds
the ids and the merged variants, so memory stays constant for any size.
"""

from __future__ import annotations

import difflib
import itertools
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import KNOWN, MEDIA, PRICES, CatalogOptions
from firstsight.indexer.columns.column_plan import ColumnPlan, ColumnUse
from firstsight.indexer.columns.column_types import ColumnTypes
from firstsight.indexer.columns.column_values import ColumnValue, WrongKindError
from firstsight.indexer.columns.make_plan import make_plan
from firstsight.indexer.columns.mapping_text import format_mapping, format_names, near
from firstsight.indexer.columns.media_values import MediaFinder
from firstsight.indexer.columns.prices import MAX_NO_PRICES
from firstsight.indexer.columns.row_values import shorten
from firstsight.indexer.columns.sample import is_empty, sample_of, take_rows
from firstsight.indexer.columns.unused_media import MediaColumns
from firstsight.indexer.formats.source import BadRow, Row, Source
from firstsight.indexer.row_reader import CatalogItem, RowReader, placeholder_address
from firstsight.indexer.variants import VariantRow, Variants
from firstsight.storage.columns import ColumnKind, types_option
from firstsight.storage.product_groups import VARIANT_IDS_COLUMN

SHOWN_PROBLEMS = 10
_SHOWN_COLUMNS = 40  # in a message
_NO_ID = "Add a column id with a different value in each row, or name the column that has one with --map item_id=COLUMN"


class FatalCatalogError(CatalogError):
    """A mistake in the columns, which affects every row; reported once."""


class Catalog:
    """A checked catalogue. Get it from `check_catalog`; close it to remove its temporary file.

    Attributes:
        plan: what each column is used for.
        kinds: kind of each column of the database that the catalogue fills, by name.
        problems: messages of the first bad rows, at most `SHOWN_PROBLEMS`.
        bad_rows: number of unusable rows.
        size: number of items.
        media: columns that look like pictures or videos and are not used.
        notes: sentences about the catalogue, such as files that are left out.
        types: decides the kinds; converts stored columns before the first write.
        variant_columns: columns that tell variants of a product apart, with their values, at most 1,000 in all.
        merged_rows: number of rows that belong to the item of an earlier row, as variants with the same pictures.
    """

    def __init__(self, source: Source, options: CatalogOptions, types: ColumnTypes) -> None:
        self.source = source
        self.options = options
        self.types = types
        self.kinds: dict[str, ColumnKind] = {}
        self.problems: list[str] = []
        self.bad_rows = 0
        self.size = 0
        self.variant_columns: dict[str, tuple[str, ...]] = {}
        self.notes: tuple[str, ...] = ()
        self._price_notes: dict[str, str] = {}
        self._left_out: list[str] = []  # sentences about values that rows were read without
        self._filled: Counter[str] = Counter()
        self._examples: dict[str, str] = {}  # first value of each column; also all column names so far
        self._file = tempfile.NamedTemporaryFile(prefix="firstsight-ids-", suffix=".sqlite")  # noqa: SIM115
        self._ids = sqlite3.connect(self._file.name, isolation_level=None, check_same_thread=False)
        self._ids.execute("PRAGMA journal_mode = OFF")
        self._ids.execute("PRAGMA synchronous = OFF")
        self._ids.execute("CREATE TABLE ids (item_id TEXT PRIMARY KEY, place INTEGER) WITHOUT ROWID")
        self._ids.execute("CREATE TABLE bad (place INTEGER PRIMARY KEY)")
        self._ids.execute("BEGIN")

    def close(self) -> None:
        """Remove the temporary file."""
        self._ids.close()
        self._file.close()

    @property
    def plan(self) -> ColumnPlan:
        return self._reader.plan

    @property
    def store_medium(self) -> Callable[[bytes], str]:
        """Stores a picture or video whose bytes are in a row, and returns its address; set it before `items`."""
        return self._reader.store_medium

    @store_medium.setter
    def store_medium(self, store: Callable[[bytes], str]) -> None:
        self._reader.store_medium = store

    @property
    def merged_rows(self) -> int:
        return self._variants.merged

    def items(self) -> Iterator[CatalogItem]:
        """Yield all items in the catalogue's order; merged variants have the place of their first row.

        Raises:
            CatalogError: the catalogue has changed since its check, or cannot be read.
        """
        for place, row in self.source.rows():
            if self._is_bad(place) or isinstance(row, BadRow) or self._variants.is_merged(place):
                continue
            try:
                item = self._variants.complete(self._item(row), place, self._convert, self.store_medium)
            except WrongKindError:
                raise CatalogError(f"{self.source.name} changed during the run; run again") from None
            yield item

    def has(self, item_ids: Sequence[str], *, usable: bool = False) -> set[str]:
        """Return the ids that the catalogue has as items; merged variants do not count.

        Args:
            usable: leave out the ids of unusable rows.
        """
        present: set[str] = set()
        for start in range(0, len(item_ids), 500):
            part = item_ids[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT item_id, place FROM ids WHERE item_id IN ({marks})"  # noqa: S608 - question marks only
            query += " AND place NOT IN bad" if usable else ""
            found = self._ids.execute(query, part).fetchall()
            present.update(item_id for item_id, place in found if not self._variants.is_merged(place))
        return present

    def merged_ids(self) -> Iterator[list[str]]:
        """Yield the ids of rows that belong to the item of an earlier row, at most 1,000 at a time."""
        return self._variants.merged_ids()

    def columns(self) -> tuple[ColumnUse, ...]:
        """The use of each column, in the catalogue's order."""
        return tuple(self._use(name) for name in self._examples)

    def check(self, stored_kinds: Mapping[str, ColumnKind]) -> None:
        """Read and check all rows; see `check_catalog`."""
        rows = self.source.rows()
        first_rows = take_rows(rows)
        self._prepare(first_rows, stored_kinds)
        for place, row in itertools.chain(first_rows, rows):
            self.size += 1
            try:
                if isinstance(row, BadRow):
                    raise CatalogError(str(row))
                self._check_columns(row, place)
                self._check_row(row, place)
            except FatalCatalogError:
                raise
            except CatalogError as error:
                self._refuse(place, str(error))
        self.notes = (*self.source.notes, *self._left_out)  # a later pass that stops early would leave none
        if not self.size:
            raise CatalogError(f"{self.source.name} has no rows; nothing to index")
        self._check_mapping()
        self._check_types()
        if self.bad_rows and not self.options.skip_bad_rows:
            raise CatalogError(self._summary())
        if self.bad_rows == self.size:
            raise CatalogError(f"no row can be used. {self._summary()}")
        self.size -= self.bad_rows + self.merged_rows
        self._settle_kinds(stored_kinds)
        self.variant_columns = self._variants.columns()

    def _prepare(self, first_rows: Sequence[tuple[int, Row | BadRow]], stored: Mapping[str, ColumnKind]) -> None:
        finder = MediaFinder(self.source.root, self.options.list_separator)
        plan = make_plan(sample_of(first_rows), self.options, stored, finder)
        self._reader = RowReader(plan, self.options, finder, stored)
        self._text_columns = {plan.shop_names[ours] for ours in ("group_id", "category", "currency")}
        self.media = MediaColumns(
            used=plan.media,
            others={*plan.fields.values(), *plan.not_media, *self.options.drop},
            options=self.options,
            finder=finder,
        )
        try:
            candidates = [
                stored_name for name in plan.variant_candidates if (stored_name := self._reader.names.of(name))
            ]
        except CatalogError as error:
            raise self._fatal(str(error)) from None
        self._variants = Variants(self._ids, self.options.variants, sorted(candidates))

    def _settle_kinds(self, stored: Mapping[str, ColumnKind]) -> None:
        for name in self._variants.joined:
            if stored.get(name, "text") == "text":
                self.types.note(name, "text")
        for ours in PRICES:
            name = self.plan.shop_names[ours]
            if self._reader.no_prices[ours] > MAX_NO_PRICES * self._reader.prices[ours]:
                self._keep_text_prices(ours, name, stored)
            self._price_notes[ours] = self._reader.describe_prices(ours, as_text=self.types.kinds().get(name) == "text")
        self.kinds = self.types.kinds()
        if self.plan.currency_from_price and "text" in {self.kinds.get(self.plan.shop_names[ours]) for ours in PRICES}:
            self.kinds.pop(self.plan.shop_names["currency"], None)
        if self.merged_rows:
            self.kinds[VARIANT_IDS_COLUMN] = stored.get(VARIANT_IDS_COLUMN, "text")

    def _keep_text_prices(self, ours: str, name: str, stored: Mapping[str, ColumnKind]) -> None:
        """Keep the texts of a price column, because many of its values are no prices."""
        reader, column = self._reader, self.plan.fields.get(ours, ours)
        if self.options.types.get(name, stored.get(name, "text")) != "text":
            raise self._fatal(
                f"column {column!r}: {reader.no_prices[ours]:,} of {reader.prices[ours]:,} values are no prices "
                f"({reader.no_price_examples[ours]}), but column {name!r} has numbers; correct them, use "
                f"{types_option(name, 'text')}, or --drop {format_names([column])}"
            )
        self.types.note(name, "text")

    def _check_types(self) -> None:
        own = {stored_as for name in self._examples if (stored_as := self._reader.names.of(name))}
        own |= self.types.kinds().keys()
        try:
            self.types.check_names(known=({*KNOWN, *self._examples} - own), met=own)
        except CatalogError as error:
            raise self._fatal(str(error)) from None

    def _is_bad(self, place: int) -> bool:
        return bool(self.bad_rows) and bool(self._ids.execute("SELECT 1 FROM bad WHERE place = ?", (place,)).fetchone())

    def _refuse(self, place: int, reason: str) -> None:
        self.bad_rows += 1
        self._ids.execute("INSERT OR IGNORE INTO bad VALUES (?)", (place,))
        if len(self.problems) < SHOWN_PROBLEMS:
            self.problems.append(f"{self.source.place} {place}: {reason}")

    def _summary(self) -> str:
        more = self.bad_rows - len(self.problems)
        return (
            f"{self.source.name}: {self.bad_rows} of {self.size} rows cannot be used "
            f"(fix them, or leave them out with --skip-bad-rows)\n  "
            + "\n  ".join(self.problems)
            + (f"\n  … and {more} more" if more else "")
        )

    def _check_columns(self, row: Row, place: int) -> None:
        """Check the column names of a row.

        Raises:
            FatalCatalogError: a column cannot be stored, or no column has the ids.
        """
        if not self._examples and not self._reader.has_id(row):
            raise self._fatal(f"{self.source.place} {place}: {self._no_id(row)}")
        for name, value in row.items():
            if not is_empty(value):
                self._filled[name] += 1
            if not self._examples.get(name):
                if name not in self._examples:
                    try:
                        self._reader.names.of(name)
                    except CatalogError as error:
                        raise self._fatal(str(error)) from None
                self._examples[name] = shorten(value)

    def _no_id(self, row: Row) -> str:
        missing = self.plan.fields.get("item_id", "item_id")
        names = list(row)[:_SHOWN_COLUMNS]
        found = difflib.get_close_matches(missing, names, n=1, cutoff=0.6)
        hint = next(iter(self.plan.rejected_ids), found[0] if found else "")
        reasons = "".join(f"; {name!r} is not used: {why}" for name, why in list(self.plan.rejected_ids.items())[:3])
        more = ", …" if len(row) > len(names) else ""
        return f"no column {missing!r}; the columns are {', '.join(names)}{more}{reasons}. " + (
            f"Name yours with --map {format_mapping({'item_id': (hint,)})}" if hint else _NO_ID
        )

    def _check_mapping(self) -> None:
        names = [name for theirs in self.options.mapping.values() for name in theirs]
        for ours, theirs in self.options.mapping.items():
            for name in theirs:
                if self._examples and name not in self._examples:
                    others = [other for other in self._examples if other not in names]
                    has = ", ".join(sorted(self._examples)[:_SHOWN_COLUMNS])
                    raise self._fatal(
                        f"--map {format_mapping({ours: (name,)})}: there is no column {name!r}; "
                        f"the columns are {has}{near(name, others)}"
                    )

    def _fatal(self, message: str) -> CatalogError:
        return FatalCatalogError(f"{self.source.name}, {message}")

    def _check_row(self, row: Row, place: int) -> None:
        item_id = self._reader.item_id(row)
        first = self._ids.execute("SELECT place FROM ids WHERE item_id = ?", (item_id,)).fetchone()
        if first is not None:
            column = self.plan.fields["item_id"]
            called = "" if column == "item_id" else f" (column {column!r})"
            raise CatalogError(f"item_id {item_id!r}{called} is already in {self.source.place} {first[0]}")
        # before other checks: --prune must not remove an item because its row is bad today
        self._ids.execute("INSERT INTO ids VALUES (?, ?)", (item_id, place))
        group = self._reader.group(row)
        self._reader.store_medium = placeholder_address if group is None else self._keep_medium
        known = self._reader.known(row, keep_html=True)
        self._reader.store_medium = placeholder_address
        own = dict(self._reader.own(row))
        kinds = {name: self.types.check(name, value) for name, value in own.items()}
        for name, kind in kinds.items():  # once the whole row can be used
            self.types.note(name, "text" if kind and name in self._text_columns else kind)
        self._left_out += [
            f"{self.source.place} {place}, item {item_id}: {problem}; the item is indexed without it"
            for problem in self._reader.timed_products(row)[1][: SHOWN_PROBLEMS - len(self._left_out)]
        ]
        self.media.see(row, used=[ours for ours in MEDIA if known[ours]])
        if group is not None:
            self._variants.add(VariantRow(place, item_id, group, known, own))

    def _keep_medium(self, data: bytes) -> str:
        address = placeholder_address(data)
        self._variants.keep_medium(address, data)
        return address

    def _convert(self, name: str, value: object) -> ColumnValue:
        return self.types.convert(name, value, self.kinds[name]) if name in self.kinds else None

    def _item(self, row: Row) -> CatalogItem:
        own = dict(self._reader.own(row))
        for ours in PRICES:  # a column with other texts than prices keeps its texts
            name = self.plan.shop_names[ours]
            if self.kinds.get(name) == "text" and name in own:
                own[name] = self._reader.raw_price(row, ours)
        return CatalogItem(
            item_id=self._reader.item_id(row),
            columns={name: self._convert(name, value) for name, value in own.items() if name in self.kinds},
            **self._reader.known(row),  # type: ignore[arg-type]  # the keys are fields of CatalogItem
        )

    def _use(self, name: str) -> ColumnUse:
        ours = self.plan.field_of(name)
        stored_as = self._reader.names.of(name)
        note = self.plan.notes.get(name, "") or self._price_notes.get(ours, "")
        if name in self.options.drop:
            note = "dropped"
        elif not stored_as and ours in self.plan.shop_names:
            stored_as = self.plan.shop_names[ours]
        share = self._filled[name] / max(self.size + self.bad_rows + self.merged_rows, 1)
        stored_as = stored_as if stored_as in self.kinds else ""
        return ColumnUse(name, ours, stored_as, share, self._examples[name], note)


def check_catalog(
    source: Source,
    options: CatalogOptions | None = None,
    stored_kinds: Mapping[str, ColumnKind] | None = None,
    *,
    chosen: Collection[str] = (),
    may_convert: bool = True,
) -> Catalog:
    """Check a whole catalogue, decide what its columns are used for, and decide their kinds.

    Args:
        source: from `open_source`.
        options: how to read the columns.
        stored_kinds: kinds of the columns in the database; they take precedence over the kinds of the values.
        chosen: stored columns whose types a user has chosen.
        may_convert: whether the run may change the types of stored columns.

    Raises:
        CatalogError: the catalogue cannot be read, is empty or has no column with ids; or, unless `skip_bad_rows`, a
            row is malformed or repeats an id. The message lists the first ten such rows.
    """
    with ExitStack() as undo:
        try:
            options, stored = options or CatalogOptions(), stored_kinds or {}
            types = ColumnTypes(
                stored, options.types, chosen=chosen, may_convert=may_convert, may_infer=options.infer_types
            )
            catalog = Catalog(source, options, types)
            undo.callback(catalog.close)
            catalog.check(stored)
        except sqlite3.Error as error:
            place = tempfile.gettempdir()
            raise CatalogError(f"{place} cannot hold the ids ({error}); free space there or set TMPDIR") from error
        undo.pop_all()
    return catalog


def catalog_root(catalog: Catalog) -> Path:
    """The folder that relative media paths start from."""
    return catalog.source.root.resolve()
