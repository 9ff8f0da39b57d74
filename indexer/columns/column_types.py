"""Types of the catalogue's own columns: as stored, as a user wants them, and as the values are.

A column keeps its stored type. It changes in two cases. A user can name another type (`--types price=number`). And a
text column takes the type of the new values if all of them have it and every stored value fits it. Only an index run of
a whole catalogue changes types: after the check of all rows, before it writes the first one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from firstsight.errors import CatalogError
from firstsight.indexer.columns.column_values import ColumnValue, WrongKindError, convert, join, kind_of
from firstsight.records import Record
from firstsight.storage.column_conversion import Misfits, chosen_kinds, convert_column, find_misfits, note_chosen
from firstsight.storage.columns import COLUMN_KINDS, FIXED_KINDS, ColumnKind, reinterpret, types_option
from firstsight.storage.quoted_names import quote_name, split_quoted
from firstsight.storage.store import Store

SHOWN_CHARACTERS = 60
"""Characters of a value that a message repeats."""


@dataclass(frozen=True)
class TypeChange(Record):
    """A column that changed its type in a run, or that could not."""

    column: str
    before: ColumnKind
    after: ColumnKind  # equal to `before` if the column kept its type
    lost: int  # stored values that do not fit `after` and are null now
    message: str  # one sentence


class ColumnTypes:
    """Decides the types of a catalogue's columns while its rows are checked.

    Args:
        stored: types of the columns in the database.
        requested: types that the user wants.
        chosen: stored columns whose types a user has chosen in an earlier run.
        may_convert: whether stored columns can change; False for a retry, which reads only some of the rows.
        may_infer: whether a text column can take the type of the values; False for single items that are added.
    """

    def __init__(
        self,
        stored: Mapping[str, ColumnKind],
        requested: Mapping[str, ColumnKind],
        *,
        chosen: Collection[str] = (),
        may_convert: bool = True,
        may_infer: bool = True,
    ) -> None:
        self._stored = dict(stored)
        fixed = {name: kind for name, kind in FIXED_KINDS.items() if stored.get(name) != kind}
        self._requested = {
            name: kind for name, kind in (fixed | dict(requested)).items() if may_convert or name not in stored
        }
        self._named = frozenset(requested)
        self._chosen = self._named | frozenset(chosen)
        self._may_convert = may_convert
        self._may_infer = may_infer
        self._seen: dict[str, ColumnKind | None] = {}

    def check(self, name: str, value: object) -> ColumnKind | None:
        """Check that a value fits its column.

        Returns:
            The kind of the value; pass it to `note` if the row can be used.

        Raises:
            CatalogError: the value does not fit; the message names the column, its type and a remedy.
        """
        expected = self._requested.get(name) or self._stored.get(name)
        try:
            kind = kind_of(value)
            if expected is not None and kind != expected:
                self.convert(name, value, expected)
        except WrongKindError as error:
            shown = "" if isinstance(value, bytes) else f"{_short(value)} "
            raise CatalogError(f"column {name!r}: {shown}{error}{self._remedy(name, value)}") from None
        return kind

    def convert(self, name: str, value: object, kind: ColumnKind) -> ColumnValue:
        """Convert a value to the kind of its column.

        Raises:
            WrongKindError: the value does not fit the kind.
        """
        return convert(value, kind, chosen=name in self._chosen)

    def note(self, name: str, kind: ColumnKind | None) -> None:
        """Note the kind of a value in a row that can be used."""
        self._seen[name] = join(self._seen.get(name), kind)

    def kinds(self) -> dict[str, ColumnKind]:
        """Types of the columns after the check; a column without values and without a type is left out."""
        kinds = {}
        for name, seen in self._seen.items():
            if kind := self._requested.get(name) or self._stored.get(name) or seen:
                kinds[name] = kind
        return kinds

    def check_names(self, known: Iterable[str], met: Iterable[str]) -> None:
        """Check that the columns of `--types` exist and have no type of their own.

        Args:
            known: firstsight's names, such as title, and the columns that are read as these.
            met: all column names of the catalogue.

        Raises:
            CatalogError: naming the column, and the columns that there are.
        """
        for name in sorted(self._named):
            kind = self._requested.get(name, FIXED_KINDS.get(name))
            if name in known or FIXED_KINDS.get(name, kind) != kind:
                raise CatalogError(f"--types {name}: this column always has the type that firstsight gives it")
            existing = sorted((set(met) | self._stored.keys()) - set(known))
            if name not in existing:
                near = difflib.get_close_matches(name, existing, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; the columns are {', '.join(existing) or 'none'}"
                raise CatalogError(f"--types {name}: there is no column {name!r}{hint}")

    def apply(
        self, store: Store, kinds: dict[str, ColumnKind], rewritten: Callable[[Sequence[str]], set[str]]
    ) -> tuple[TypeChange, ...]:
        """Convert stored columns; the caller holds the writer lock and has written no row yet.

        Args:
            kinds: result of `kinds`; gets the types of converted columns.
            rewritten: from item ids, those whose rows the run writes.

        Returns:
            The changes, and text columns that stay text because of a stored value.

        Raises:
            StoreError: the database cannot be written.
        """
        if not self._may_convert:
            return ()
        stored = store.column_kinds()
        changes = []
        for name, kind in self._requested.items():
            if name in stored and stored[name] != kind:
                changes.append(_convert(store, name, stored[name], kind, rewritten))
        if not self._may_infer:
            return tuple(changes)
        chosen = chosen_kinds(store) | self._requested.keys() | FIXED_KINDS.keys()
        for name, seen in self._seen.items():
            if stored.get(name) == "text" and seen not in {None, "text"} and name not in chosen:
                assert seen is not None
                change = _convert_if_all_fit(store, name, seen, rewritten)
                kinds[name] = change.after
                changes.append(change)
        return tuple(changes)

    def note_choices(self, store: Store) -> None:
        """Remember the types that the user has named, so that later runs keep them."""
        note_chosen(store, sorted(self._named))

    def _remedy(self, name: str, value: object) -> str:
        if name in self._requested:
            return f", as --types {self._requested[name]} says; correct the value, or use {types_option(name, 'text')}"
        if name in self._stored:
            kind = self._stored[name]
            if reinterpret(value, kind) is not None:
                return f", as it is in the database; {types_option(name, kind)} reads such values as a {kind}"
            return (
                f", as it is in the database; correct the value, make the column text with "
                f"{types_option(name, 'text')}, or leave it out with --drop {name}"
            )
        return ""


def parse_types(texts: Sequence[str]) -> dict[str, ColumnKind]:
    """Parse `--types`: `price=number,in_stock=flag`; a name with a comma or a quote is in double quotes.

    Raises:
        CatalogError: the text has another form, or names no type.
    """
    types: dict[str, ColumnKind] = {}
    try:
        for pair in (pair for text in texts for pair in _split_pairs(text)):
            name, _, kind = pair.rpartition("=")  # `a=b=number` is about the column `a=b`, quoted or not
            if not name:
                raise CatalogError(f"{pair!r} is not of the form COLUMN=TYPE, such as price=number")
            if kind not in COLUMN_KINDS:
                raise CatalogError(f"{quote_name(name)}={kind}: {kind!r} is not one of {', '.join(COLUMN_KINDS)}")
            if types.setdefault(name, kind) != kind:
                raise CatalogError(f"column {name!r} has two types, {types[name]} and {kind}")
    except ValueError as error:
        raise CatalogError(str(error)) from None
    return types


def _split_pairs(text: str) -> Iterator[str]:
    """Each entry without its quotes; empty entries are left out."""
    parts: list[str] = []
    for part, sign in split_quoted(text, ",="):
        parts.append(part)
        if sign != "=":
            if any(parts):
                yield "=".join(parts)
            parts = []


def _convert(
    store: Store,
    name: str,
    before: ColumnKind,
    after: ColumnKind,
    rewritten: Callable[[Sequence[str]], set[str]],
) -> TypeChange:
    """Convert a column as the user wants, and count the values that are lost."""
    misfits = Misfits()
    if after != "text":
        misfits = find_misfits(store, name, lambda value: reinterpret(value, after) is not None, replaced=rewritten)
    convert_column(store, name, after, misfits=misfits.count + misfits.replaced)
    message = f"column {name!r} is a {after} column now, not {before}"
    if misfits.count:
        values = "1 stored value was" if misfits.count == 1 else f"{misfits.count:,} stored values were"
        message += (
            f"; {values} no {after}, such as {_short(misfits.value)} of item {misfits.item_id!r}, and became empty"
        )
    return TypeChange(name, before, after, misfits.count, message)


def _convert_if_all_fit(
    store: Store, name: str, seen: ColumnKind, rewritten: Callable[[Sequence[str]], set[str]]
) -> TypeChange:
    """Convert a text column whose new values all have another kind, unless a stored value does not fit."""

    def fits(value: object) -> bool:
        strict = seen == "time" or kind_of(value) == seen  # "007" and "yes" stay texts unless the user says otherwise
        return strict and reinterpret(value, seen) is not None

    misfits = find_misfits(store, name, fits, replaced=rewritten, first_only=True)
    if misfits.count:
        return TypeChange(
            name,
            "text",
            "text",
            0,
            f"column {name!r} stays text, although all its new values are {seen}s: item {misfits.item_id!r} has "
            f"{_short(misfits.value)}. {types_option(name, seen)} converts it and empties such values",
        )
    convert_column(store, name, seen, misfits=misfits.replaced)
    return TypeChange(
        name, "text", seen, 0, f"column {name!r} is a {seen} column now, not text: all its values are {seen}s"
    )


def _short(value: object) -> str:
    shown = repr(value.isoformat() if isinstance(value, datetime) else value)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "…"
