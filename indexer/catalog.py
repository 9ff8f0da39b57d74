"""The columns of a catalogue, and the check of all rows before anything is encoded.

A catalogue is read twice. The first pass checks each row, finds repeated ids and decides the kind of each column. It
takes seconds where encoding takes hours, so a mistake in row 90,000 is reported at once. The second pass yields the
items. A temporary SQLite file holds the ids, so memory stays constant for any size.
"""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal, get_args

from firstsight.errors import CatalogError
from firstsight.indexer.column_types import ColumnTypes
from firstsight.indexer.column_values import ColumnValue, WrongKindError, as_text, as_utc
from firstsight.indexer.formats.source import BadRow, EmbeddedMedium, Row, Source
from firstsight.indexer.media_columns import MediaColumns, MediaField
from firstsight.storage.columns import ColumnKind

ItemKind = Literal["product", "video", "live"]
KINDS: tuple[ItemKind, ...] = get_args(ItemKind)

TIMES = ("created_at", "starts_at", "expires_at")
KNOWN = ("item_id", "kind", "title", "text", "images", "videos", *TIMES)
RESERVED = frozenset(
    {
        *("vector", "digest", "row_digest", "catalog_dir", "indexed_at", "run_id"),
        *("safety_decision", "safety_scores", "safety_policy_version", "safety_min_age"),
    }
)  # columns that firstsight adds to the items table

SHOWN_PROBLEMS = 10
MAX_ID = 512  # characters; a longer id is probably a wrong --map
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
UNUSABLE_NAME = re.compile(r"^_|^\s*$|[.`]|" + CONTROL_CHARACTERS.pattern)
"""Column names that LanceDB cannot store or a filter cannot contain; LanceDB reserves names that start with _."""


class FatalCatalogError(CatalogError):
    """A mistake in the columns, which affects every row; reported once."""


@dataclass(frozen=True, slots=True)
class CatalogItem:
    """A checked row of a catalogue."""

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


@dataclass(frozen=True)
class CatalogOptions:
    """Options for reading the columns of a catalogue; the command line has one option for each field."""

    mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the catalogue's columns, by our name: `{"title": ("name",)}`. Several for images and videos only."""

    drop: frozenset[str] = frozenset()
    """Columns of the catalogue that are ignored."""

    types: Mapping[str, ColumnKind] = field(default_factory=dict)
    """Types of the catalogue's own columns: "text", "number", "flag" or "time"."""

    infer_types: bool = True
    """Whether a stored text column takes the type of its values once all of them have it."""

    encoding: str = "utf-8"
    """Encoding of text formats."""

    list_separator: str = "|"
    """Separator between the media in one text."""

    skip_bad_rows: bool = False
    """Leave unusable rows out. If False, one such row refuses the catalogue."""


def parse_mapping(text: str) -> dict[str, tuple[str, ...]]:
    """Parse `--map`: `title=name,images=front+back` gives {"title": ("name",), "images": ("front", "back")}.

    Raises:
        CatalogError: the text has another form, or maps to an unknown column.
    """
    mapping: dict[str, tuple[str, ...]] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        names = tuple(name.strip() for name in theirs.split("+"))
        if not equals or not all(names):
            raise CatalogError(f"--map {pair!r} is not of the form OURS=THEIRS, such as title=name")
        if ours not in KNOWN:
            raise CatalogError(f"--map {pair!r}: {ours!r} is not one of {', '.join(KNOWN)}")
        if len(names) > 1 and ours not in {"images", "videos"}:
            raise CatalogError(f"--map {pair!r}: only images and videos can come from several columns")
        mapping[ours] = names
    return mapping


class Catalog:
    """A checked catalogue. Get it from `check_catalog`; close it to remove its temporary file.

    Attributes:
        kinds: kind of each of the catalogue's own columns, by name.
        problems: messages of the first bad rows, at most `SHOWN_PROBLEMS`.
        bad_rows: number of unusable rows.
        size: number of usable rows.
        media: columns that look like pictures or videos.
        types: decides the kinds; converts stored columns before the first write.
        store_medium: stores a picture or video that a row holds, and returns its address; set it before `items`.
    """

    def __init__(self, source: Source, options: CatalogOptions, types: ColumnTypes) -> None:
        self.source = source
        self.options = options
        self.types = types
        self.kinds: dict[str, ColumnKind] = {}
        self.store_medium: Callable[[bytes], str] = lambda data: "stored://"  # the check of the rows stores nothing
        self.problems: list[str] = []
        self.bad_rows = 0
        self.size = 0
        mapped = {name for ours in KNOWN for name in self._theirs(ours)}
        self._not_own = mapped | set(KNOWN) | options.drop
        media = {name for ours in ("images", "videos") for name in self._theirs(ours)}
        self.media = MediaColumns(
            used=media,
            others=(mapped - media) | options.drop,
            mapping=options.mapping,
            dropped=options.drop,
            separator=options.list_separator,
            root=source.root,
        )
        self._met: set[str] = set()  # column names in the rows so far
        self._names = {name: name for name in KNOWN}  # names of used columns, by their lower case
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

    def items(self) -> Iterator[CatalogItem]:
        """Yield all usable items in the catalogue's order.

        Raises:
            CatalogError: the catalogue has changed since its check, or cannot be read.
        """
        for place, row in self.source.rows():
            if self._is_bad(place) or isinstance(row, BadRow):
                continue
            try:
                item = self._item(row)
            except WrongKindError:
                raise CatalogError(f"{self.source.name} changed during the run; run again") from None
            yield item

    def has(self, item_ids: Sequence[str], *, usable: bool = False) -> set[str]:
        """Return the ids that the catalogue has; ids of unusable rows count, unless `usable`."""
        present: set[str] = set()
        for start in range(0, len(item_ids), 500):
            part = item_ids[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT item_id FROM ids WHERE item_id IN ({marks})"  # noqa: S608 - question marks only
            query += " AND place NOT IN bad" if usable else ""
            present.update(row[0] for row in self._ids.execute(query, part))
        return present

    def check(self, stored_kinds: Mapping[str, ColumnKind]) -> None:
        """Read and check all rows; see `check_catalog`."""
        self._names.update((name.lower(), name) for name in stored_kinds)
        for place, row in self.source.rows():
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
        if not self.size:
            raise CatalogError(f"{self.source.name} has no rows; nothing to index")
        self._check_mapping()
        self.types.check_names(known=self._not_own - self.options.drop, met=self._met)
        if self.bad_rows and not self.options.skip_bad_rows:
            raise CatalogError(self._summary())
        if self.bad_rows == self.size:
            raise CatalogError(f"no row can be used. {self._summary()}")
        self.size -= self.bad_rows
        self.kinds = self.types.kinds()

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
        if not self._met and not any(name in row for name in self._theirs("item_id")):
            missing = self._theirs("item_id")[0]
            near = difflib.get_close_matches(missing, list(row), n=1, cutoff=0.3)
            hint = near[0] if near else next(iter(row), "sku")
            raise self._fatal(
                f"{self.source.place} {place}: no column {missing!r}; the columns are {', '.join(row)}. "
                f"Name yours with --map item_id={hint}"
            )
        for name in [name for name in row if name not in self._met]:  # in the order of the row
            self._met.add(name)
            if name not in self._not_own:
                self._check_name(name)

    def _check_name(self, name: str) -> None:
        if name.lower() in RESERVED:
            raise self._fatal(f"column {name!r} has a name that firstsight reserves; rename it or --drop {name}")
        if UNUSABLE_NAME.search(name):
            raise self._fatal(
                f"column {name!r} cannot be stored under this name; rename it or --drop {name}. A name must not be "
                "empty, start with _ or contain a dot, backtick or control character"
            )
        other = self._names.setdefault(name.lower(), name)
        if other != name:
            remedy = f"read it with --map {other}={name}, or leave it out with" if other in KNOWN else "rename one or"
            raise self._fatal(f"columns {other!r} and {name!r} differ only in case; {remedy} --drop {name}")

    def _check_mapping(self) -> None:
        for ours, theirs in self.options.mapping.items():
            for name in theirs:
                if self._met and name not in self._met:
                    has = ", ".join(sorted(self._met))
                    raise self._fatal(f"--map {ours}={name}: there is no column {name!r}; the columns are {has}")

    def _fatal(self, message: str) -> CatalogError:
        return FatalCatalogError(f"{self.source.name}, {message}")

    def _check_row(self, row: Row, place: int) -> None:
        item_id = self._id(row)
        first = self._ids.execute("SELECT place FROM ids WHERE item_id = ?", (item_id,)).fetchone()
        if first is not None:
            raise CatalogError(f"item_id {item_id!r} is already in {self.source.place} {first[0]}")
        # before other checks: --prune must not remove an item because its row is bad today
        self._ids.execute("INSERT INTO ids VALUES (?, ?)", (item_id, place))
        known = self._known(row)
        kinds = {name: self.types.check(name, value) for name, value in self._own(row)}
        for name, kind in kinds.items():  # once the whole row can be used
            self.types.note(name, kind)
        fields: tuple[MediaField, ...] = ("images", "videos")
        self.media.see(row, used=[ours for ours in fields if known[ours]])

    def _item(self, row: Row) -> CatalogItem:
        return CatalogItem(
            item_id=self._id(row),
            columns={
                name: self.types.convert(name, value, self.kinds[name])
                for name, value in self._own(row)
                if name in self.kinds
            },
            **self._known(row),  # type: ignore[arg-type]  # the keys are fields of CatalogItem
        )

    def _known(self, row: Row) -> dict[str, object]:
        kind = self._text(row, "kind") or "product"
        if kind not in KINDS:
            raise CatalogError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
        return {
            "kind": kind,
            "title": self._text(row, "title"),
            "text": self._text(row, "text"),
            "images": self._media(row, "images"),
            "videos": self._media(row, "videos"),
            **{name: self._time(row, name) for name in TIMES},
        }

    def _id(self, row: Row) -> str:
        item_id = self._text(row, "item_id")
        if item_id is None:
            raise CatalogError("item_id is empty; every row needs one")
        if len(item_id) > MAX_ID:
            raise CatalogError(f"item_id {item_id[:40]!r}… has {len(item_id):,} characters; the maximum is {MAX_ID}")
        if CONTROL_CHARACTERS.search(item_id):
            raise CatalogError(f"item_id {item_id!r} contains control characters; remove them")
        return item_id

    def _text(self, row: Row, ours: str) -> str | None:
        value = row.get(self._theirs(ours)[0])
        if value is None or (isinstance(value, float) and value != value):
            return None
        if isinstance(value, list | dict | bytes | EmbeddedMedium):
            raise CatalogError(f"{ours} must be text, not {type(value).__name__}")
        return as_text(value).strip() or None

    def _media(self, row: Row, ours: str) -> tuple[str, ...]:
        return tuple(uri for name in self._theirs(ours) for uri in self._uris(row.get(name), ours))

    def _uris(self, value: object, ours: str) -> Iterable[str]:
        if value is None or value != value:
            return ()
        if isinstance(value, EmbeddedMedium):
            return [self.store_medium(value.data)]
        if isinstance(value, str):
            text = value.strip()
            if not text.startswith("["):
                return [uri for part in text.split(self.options.list_separator) if (uri := part.strip())]
            try:
                value = json.loads(text)
            except json.JSONDecodeError as error:
                raise CatalogError(f"{ours} starts with [ but is not a JSON list ({error})") from None
        if not isinstance(value, list) or not all(isinstance(uri, str | EmbeddedMedium | None) for uri in value):
            raise CatalogError(f"{ours} must be text or a list of texts, not {value!r:.80}")
        return [address for uri in value if uri is not None and (address := self._address(uri))]

    def _address(self, medium: str | EmbeddedMedium) -> str:
        return self.store_medium(medium.data) if isinstance(medium, EmbeddedMedium) else medium.strip()

    def _time(self, row: Row, ours: str) -> datetime | None:
        value = row.get(self._theirs(ours)[0])
        if value is None or value == "":
            return None
        try:
            if isinstance(value, date):
                return as_utc(value)
            return as_utc(datetime.fromisoformat(str(value).strip()))
        except (ValueError, OverflowError):  # OverflowError: before year 1 in UTC
            raise CatalogError(f"{ours} {value!r} is not an ISO 8601 time such as 2026-05-01T12:00:00Z") from None

    def _theirs(self, ours: str) -> Sequence[str]:
        return self.options.mapping.get(ours, (ours,))

    def _own(self, row: Row) -> Iterator[tuple[str, object]]:
        """Yield the catalogue's own columns: neither known, nor mapped to known ones, nor dropped."""
        return ((name, value) for name, value in row.items() if name not in self._not_own)


def check_catalog(
    source: Source,
    options: CatalogOptions | None = None,
    stored_kinds: Mapping[str, ColumnKind] | None = None,
    *,
    chosen: Collection[str] = (),
    may_convert: bool = True,
) -> Catalog:
    """Check a whole catalogue and decide the kinds of its columns.

    Args:
        source: from `open_source`.
        options: how to read the columns.
        stored_kinds: kinds of the columns in the database; they take precedence over the kinds of the values.
        chosen: stored columns whose types a user has chosen.
        may_convert: whether the run may change the types of stored columns.

    Raises:
        CatalogError: the catalogue cannot be read, is empty or has no item_id column; or, unless `skip_bad_rows`, a row
            is malformed or repeats an id. The message lists the first ten such rows.
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
