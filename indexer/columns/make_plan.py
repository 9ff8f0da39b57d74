"""Decide from the first rows of a catalogue what each column is used for.

An explicit mapping wins, then a column with exactly the name of a field, then names that shops use (column_names.py).
The values decide whether a column can be what its name says.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from firstsight.indexer.columns.catalog_options import (
    FIELDS,
    KINDS,
    KNOWN,
    MEDIA,
    PRICES,
    SHOP_COLUMNS,
    TIMED_PRODUCTS,
    TIMES,
    CatalogOptions,
)
from firstsight.indexer.columns.column_names import is_variant_name, key_of, rank_of
from firstsight.indexer.columns.column_plan import ColumnPlan
from firstsight.indexer.columns.media_plan import EVENLY_FILLED, choose_media
from firstsight.indexer.columns.media_values import MediaFinder
from firstsight.indexer.columns.prices import MAX_NO_PRICES, NoPriceError, decimal_mark, parse_price
from firstsight.indexer.columns.row_values import as_group, name_in
from firstsight.indexer.columns.sample import ColumnSample, Sample
from firstsight.indexer.columns.subtitle_cells import holds_subtitles
from firstsight.indexer.columns.timed_products import read_timed_products


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOSTLY_UNIQUE: Final = 0.9
"""Share of different values of an id column with mistakes in single rows."""

_LOOSE_GROUPS: Final = frozenset(
    ("handle", "handleid", "productid", "producthandle", "styleid", "stylenumber", "group", "modelid")
)
"""Names of groups that are ids of items in other catalogues: they are groups if their values repeat."""

_WEAK_IDS: Final = frozenset(
    ("handle", "slug", "urlkey", "gtin", "ean", "upc", "barcode", "isbn", "mpn", "reference", "ref", "key", "code")
)
"""Names of columns that are ids only if every value is there and different."""

_NO_GROUPS: Final = frozenset(("true", "false", "yes", "no", "parent", "child", "0", "1", "y", "n"))
_TYPES_OF_ROWS: Final = _words(
    """
    simple variable variation configurable grouped bundle virtual downloadable product external parent child
    variant physical digital service download
    """
)
_DECIMAL_ID: Final = re.compile(r"\d+\.0+")
_MAX_VARIANT_VALUE: Final = 40  # characters
_MIN_SUBTITLES: Final = 0.5  # share of values of a column of subtitles that must be files or timed lines
_MIN_LETTERS: Final = 0.5  # share of titles and texts that must contain a letter


def make_plan(sample: Sample, options: CatalogOptions, stored: Collection[str], finder: MediaFinder) -> ColumnPlan:
    """Decide what the columns of a catalogue are used for.

    Args:
        sample: the first rows.
        options: the mapping, dropped columns and the separator of media.
        stored: names of the plain columns in the database, which go on being filled.
    """
    return _Planner(sample, options, frozenset(stored), finder).plan()


@dataclass
class _Planner:
    sample: Sample
    options: CatalogOptions
    stored: frozenset[str]
    finder: MediaFinder
    fields: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    rejected_ids: dict[str, str] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)  # plain columns with the name of a field

    def plan(self) -> ColumnPlan:
        mapping = self.options.mapping
        self.fields.update({ours: theirs[0] for ours, theirs in mapping.items() if ours not in MEDIA})
        mapped = {name for theirs in mapping.values() for name in theirs}
        for name in self.sample.columns:
            if name in FIELDS and name in mapping and name not in mapped:
                self.notes[name] = f"--map {name} names another column"
        media = choose_media(self.sample, self.options, self.finder, self._free(exact_media=True))
        self.notes.update(media.notes)
        taken_media = {column.name for column in media.columns}
        free = [name for name in self._free() if name not in taken_media]
        self._choose_id(free)
        self._choose_group(free)
        for ours, check in self._checks().items():
            self._choose(ours, free, check)
        for ours in FIELDS:  # rows after the sample may have them
            if ours not in MEDIA and ours not in self.fields and ours not in self.sample.columns:
                self.fields[ours] = ours
        taken = {*self.fields.values(), *taken_media, *mapped}
        hidden = self._hidden(taken_media, mapped)
        plain = [name for name in self.sample.columns if name not in hidden and name not in media.passed_over]
        return ColumnPlan(
            fields=self.fields,
            media=media.columns,
            hidden=frozenset(hidden),
            shop_names=self._shop_names(),
            decimal_marks={
                self.fields[ours]: decimal_mark(self._column(self.fields[ours]).values)
                for ours in PRICES
                if ours in self.fields
            },
            notes=self.notes,
            not_media=frozenset(media.passed_over),
            variant_candidates=frozenset(name for name in plain if name not in taken and self._tells_variants(name)),
            rejected_ids=self.rejected_ids,
            decimal_ids=self._has_decimal_ids(),
            currency_from_price="currency" not in self.options.drop
            and self.fields.get("currency", "currency") not in self.sample.columns,
        )

    # ---- candidates

    def _free(self, *, exact_media: bool = False) -> list[str]:
        """Columns that may be used: neither dropped, nor mapped, nor with the exact name of another field."""
        mapped = {name for theirs in self.options.mapping.values() for name in theirs}
        exact = set(FIELDS) - set(MEDIA) if exact_media else set(FIELDS)
        return [
            name
            for name in self.sample.columns
            if name not in mapped
            and name not in self.options.drop
            and name not in exact
            and (self.options.recognise or name in MEDIA)
        ]

    def _column(self, name: str) -> ColumnSample:
        return self.sample.columns.get(name, ColumnSample(name))

    def _candidates(self, ours: str, free: Collection[str]) -> list[str]:
        """Columns with a name of the field, best name first; a column of its exact name is the first."""
        ranked = [
            (rank, number, name)
            for number, name in enumerate(free)
            if (rank := rank_of(name, ours)) is not None and name not in self.fields.values()
        ]
        exact = [ours] if ours in self.sample.columns and ours not in self.options.drop else []
        return exact + [name for _, _, name in sorted(ranked)]

    # ---- choices

    def _choose_id(self, free: Collection[str]) -> None:
        if "item_id" in self.fields:
            return
        candidates = self._candidates("item_id", free)
        if candidates[:1] == ["item_id"]:
            self.fields["item_id"] = "item_id"
            return
        second_best: list[str] = []
        for name in candidates:
            texts = self._column(name).texts
            filled, different = len(texts), len(set(texts))
            if filled == different == self.sample.rows:
                self.fields["item_id"] = name
                self._note_others("item_id", candidates, name)
                return
            if filled != len(self._column(name).values) or not filled:
                self.rejected_ids[name] = "has no values that can be ids"
            elif different < filled:
                repeated = Counter(texts).most_common(1)[0]
                self.rejected_ids[name] = f"{repeated[0]!r} is in {repeated[1]:,} of {self.sample.rows:,} rows"
            else:
                self.rejected_ids[name] = f"empty in {self.sample.rows - filled:,} of {self.sample.rows:,} rows"
            if key_of(name) in _WEAK_IDS or key_of(name) in _LOOSE_GROUPS:
                continue
            if 2 * filled >= self.sample.rows and different >= _MOSTLY_UNIQUE * filled:
                second_best.insert(0, name) if not second_best else second_best.append(name)
        if not second_best:  # a name that always is an id: its mistakes are reported by row
            second_best = [
                name for name in candidates if (rank_of(name, "item_id") or 0) <= 6 and self._column(name).values
            ]
            second_best = [name for name in second_best if 2 * len(set(self._column(name).texts)) > self.sample.rows]
        if second_best:
            self.fields["item_id"] = second_best[0]
            self.rejected_ids.pop(second_best[0], None)
            self._note_others("item_id", candidates, second_best[0])

    def _has_decimal_ids(self) -> bool:
        """Whether all ids are whole numbers with `.0`, as programs write columns of numbers with gaps."""
        texts = self._column(self.fields.get("item_id", "")).texts
        return bool(texts) and all(_DECIMAL_ID.fullmatch(text) for text in texts)

    def _choose_group(self, free: Collection[str]) -> None:
        if "group_id" in self.fields:
            return
        for name in self._candidates("group_id", free):
            groups = [group for value in self._column(name).values if (group := as_group(value, name)) is not None]
            if not groups or (name != "group_id" and {group.lower() for group in groups} <= _NO_GROUPS):
                continue
            if name != "group_id" and key_of(name) in _LOOSE_GROUPS and len(set(groups)) == len(groups):
                continue
            self.fields["group_id"] = name
            self.notes.pop(name, None)
            return

    def _checks(self) -> dict[str, Callable[[ColumnSample], str]]:
        """Fields in the order of their choice, and functions that say why a column cannot be one; "" if it can."""
        return {
            "title": _not_text,
            "text": _not_text,
            "price": _no_prices,
            "sale_price": _no_prices,
            "currency": _no_currency,
            "category": _no_category,
            "subtitles": _no_subtitles,
            "kind": lambda column: (
                "" if set(column.texts) <= set(KINDS) else f"its values are none of {', '.join(KINDS)}"
            ),
            **dict.fromkeys(TIMES, _no_times),
            TIMED_PRODUCTS: _no_timed_products,
        }

    def _choose(self, ours: str, free: Collection[str], check: Callable[[ColumnSample], str]) -> None:
        """Choose the best filled column with a name of the field; ties by the rank of the name."""
        if ours in self.fields:
            return
        candidates = self._candidates(ours, free)
        usable: list[str] = []
        for name in candidates:
            if name == ours and self._means_something_else(name, check):
                continue
            if name == ours and self._column(name).values:
                usable = [name]  # its wrong values are errors
                break
            reason = check(self._column(name)) if self._column(name).values else "empty in the first rows"
            if not reason:
                usable.append(name)
            elif name != ours and name not in self.notes:
                self.notes[name] = f"not used as {ours}: {reason}"
        if not usable:
            usable = [ours] if ours in candidates and ours not in self.foreign else []
        if usable:
            best = max(self.sample.filled(name) for name in usable)
            chosen = next(name for name in usable if self.sample.filled(name) >= best - EVENLY_FILLED)
            self.fields[ours] = chosen
            self.notes.pop(chosen, None)
            self._note_others(ours, usable if chosen != ours else candidates, chosen)

    def _means_something_else(self, name: str, check: Callable[[ColumnSample], str]) -> bool:
        """Whether a column with the exact name of a field has another meaning, because none of its values fits."""
        column = self._column(name)
        if name not in ("kind", *TIMES) or len(column.values) < 2:
            return False
        if not all(check(ColumnSample(name, [value])) for value in column.values):
            return False
        self.foreign.add(name)
        self.notes[name] = f"not used as {name}: {check(column)}"
        return True

    def _note_others(self, ours: str, candidates: Collection[str], chosen: str) -> None:
        for name in candidates:
            weak = ours == "item_id" and key_of(name) in _WEAK_IDS and key_of(name) != "handle"  # columns of their own
            if name != chosen and name not in self.fields.values() and name not in self.notes and not weak:
                share = self.sample.filled(name), self.sample.filled(chosen)
                why = "is filled better" if share[0] < share[1] - EVENLY_FILLED else "comes first"
                reason = self.rejected_ids.get(name) if ours == "item_id" else None
                self.notes[name] = f"not used as {ours}: {reason or f'{chosen!r} {why}'}"

    # ---- what is stored

    def _hidden(self, media: Collection[str], mapped: Collection[str]) -> set[str]:
        """Columns that are not stored under their own name: the database has them as a field already."""
        hidden = set(self.options.drop) | set(mapped) | (set(FIELDS) - self.foreign)
        used = {theirs for ours, theirs in self.fields.items() if ours in KNOWN} | set(media)
        hidden |= {name for name in used if name not in self.stored}
        shop = {self.fields[ours] for ours in SHOP_COLUMNS if ours in self.fields}
        return hidden | {
            name for name in shop if name.lower() in {shown.lower() for shown in self._shop_names().values()}
        }

    def _shop_names(self) -> Mapping[str, str]:
        """Names in the database of the shop columns: a stored spelling such as `Price` stays."""
        spelled = {name.lower(): name for name in self.stored}
        return {ours: spelled.get(ours, ours) for ours in SHOP_COLUMNS}

    def _tells_variants(self, name: str) -> bool:
        """Whether a plain column may tell variants apart: by its name, or short texts that differ within groups."""
        column = self._column(name)
        texts = column.texts
        if not texts or max(map(len, texts)) > 2 * _MAX_VARIANT_VALUE:
            return False
        if is_variant_name(name):
            return True
        group = self.fields.get("group_id")
        if group is None or len(texts) < len(column.values) or max(map(len, texts)) > _MAX_VARIANT_VALUE:
            return False
        if 2 * len(set(texts)) > len(texts) or not any(character.isalpha() for character in "".join(texts[:100])):
            return False
        groups = dict(zip(self._column(group).rows, self._column(group).values, strict=True))
        seen: dict[str, list[str]] = defaultdict(list)
        for row, value in zip(column.rows, column.values, strict=True):
            if (group_id := as_group(groups.get(row), group)) is not None:
                seen[group_id].append(str(value))
        several = [values for values in seen.values() if len(values) > 1]
        return bool(several) and 2 * sum(len(set(values)) > 1 for values in several) >= len(several)


def _not_text(column: ColumnSample) -> str:
    texts = [value for value in column.values if isinstance(value, str | int | float)]
    if 2 * len(texts) < len(column.values):
        return "its values are lists or objects"
    lettered = sum(any(character.isalpha() for character in str(text)) for text in texts)
    return "" if lettered >= _MIN_LETTERS * len(texts) else "its values have no letters"


def _no_prices(column: ColumnSample) -> str:
    mark = decimal_mark(column.values)
    reasons = []
    for value in column.values:
        try:
            parse_price(value, mark)
        except NoPriceError as error:
            reasons.append(str(error))
    return reasons[0] if len(reasons) > MAX_NO_PRICES * len(column.values) else ""


def _no_currency(column: ColumnSample) -> str:
    texts = [value for value in column.values if isinstance(value, str)]
    return "" if len(texts) == len(column.values) and max(map(len, texts)) <= 10 else "its values are no currencies"


def _no_category(column: ColumnSample) -> str:
    names = [name_in(value) for value in column.values]
    if not any(names):
        return "its values are no texts"
    return "its values are types of rows" if {str(name).lower() for name in names} <= _TYPES_OF_ROWS else ""


def _no_timed_products(column: ColumnSample) -> str:
    for value in column.values:
        entries, problems = read_timed_products(value)
        if problems and not entries:
            return problems[0]
    return ""


def _no_times(column: ColumnSample) -> str:
    for value in column.values:
        try:
            if not isinstance(value, date):
                datetime.fromisoformat(str(value).strip())
        except ValueError:
            return f"{value!r:.40} is not an ISO 8601 time"
    return ""


def _no_subtitles(column: ColumnSample) -> str:
    fitting = sum(map(holds_subtitles, column.values))
    if fitting >= _MIN_SUBTITLES * len(column.values):
        return ""
    return f"{str(column.values[0])[:40]!r} is neither a .srt or .vtt file nor a list of timed lines"
