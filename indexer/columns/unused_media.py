"""Unused columns of a catalogue that look like pictures or videos.

The plan of the columns is made from the first rows. The first pass over the catalogue also checks the first values of
each column that is not used, and reports the columns with media, with the option that would use them.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.columns.column_names import looks_like_pictures
from firstsight.indexer.columns.mapping_text import format_mapping, format_names
from firstsight.indexer.columns.media_cells import MediaColumn
from firstsight.indexer.columns.media_plan import CHECKED_VALUES, MIN_MEDIA_SHARE
from firstsight.indexer.columns.media_values import MediaField, MediaFinder, Medium, is_no_medium
from firstsight.indexer.formats.source import Row
from firstsight.records import Record

T = TypeVar("T")

_SHOWN: Final = 60  # characters of an example


@dataclass(frozen=True)
class UnusedMedia(Record):
    """An unused column that looks like media."""

    column: str
    field: MediaField  # our column that it would be read as
    example: str  # one of its values, shortened
    option: str  # command-line option that would use it; empty if its values must be rewritten first
    message: str  # one sentence, with the remedy


@dataclass
class _Checked:
    values: int = 0
    media: list[Medium] = field(default_factory=list)


class MediaColumns:
    """Media in columns that are not used, collected by the first pass; memory is limited by the number of columns.

    Args:
        used: columns that are read as images or videos.
        others: columns that are read as something else, dropped, or knowingly not used.
        options: how the catalogue is read.
        finder: recognises media in values.
    """

    def __init__(
        self, *, used: Sequence[MediaColumn], others: Iterable[str], options: CatalogOptions, finder: MediaFinder
    ) -> None:
        self._media = used
        self._read = {column.name for column in used} | set(others)
        self._options = options
        self._finder = finder
        self._checked: dict[str, _Checked] = {}
        self._names: set[str] = set()  # of all columns so far
        self.used: set[str] = set()  # media fields that rows fill

    def see(self, row: Row, *, used: Iterable[str]) -> None:
        """Check a usable row; `used` lists the media fields that the row fills."""
        self.used.update(used)
        for name, value in row.items():
            checked = self._checked.get(name)
            if checked is None:
                self._names.add(name)
                if name in self._read:
                    continue
                checked = self._checked[name] = _Checked()
            if checked.values < CHECKED_VALUES and not is_no_medium(value):
                checked.values += 1
                if medium := self._finder.find(value, looks_like_pictures(name)):
                    checked.media.append(medium)

    @property
    def none_used(self) -> bool:
        """Whether there are picture columns but no picture is used, or media columns but no medium is used."""
        return any(not self.used or unused.field == "images" not in self.used for unused in self.unused())

    def unused(self) -> tuple[UnusedMedia, ...]:
        """List the unused columns that look like media, in the catalogue's order."""
        columns = {
            name: checked.media
            for name, checked in self._checked.items()
            if checked.media and len(checked.media) >= MIN_MEDIA_SHARE * checked.values
        }
        option = self._map_option(columns)
        return tuple(self._describe(name, media, option) for name, media in columns.items())

    def _map_option(self, columns: Mapping[str, Sequence[Medium]]) -> str:
        """Make the option that uses all these columns; it repeats the columns of the field that are used already."""
        mapping = {ours: list(theirs) for ours, theirs in self._options.mapping.items()}
        separators: list[str] = []
        for name, media in columns.items():
            if _is_data(media):
                continue
            ours = _most_common([medium.field for medium in media])
            used = [column.name for column in self._media if column.field == ours and column.name in self._names]
            mapping.setdefault(ours, used).append(name)
            separators += [medium.separator for medium in media if medium.separator]
        option = f"--map {shlex.quote(format_mapping(mapping))}"
        given = self._options.list_separator
        if given and separators and _most_common(separators) != given:
            option += f" --list-separator '{_most_common(separators)}'"
        return option

    def _describe(self, name: str, media: Sequence[Medium], option: str) -> UnusedMedia:
        ours: MediaField = _most_common([medium.field for medium in media])
        called = "pictures" if ours == "images" else "videos"
        form: Literal["text", "nested", "data"] = _most_common([medium.form for medium in media])
        shown = next(medium.text for medium in media if medium.form == form)
        shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
        drop = f"--drop {shlex.quote(format_names([*sorted(self._options.drop), name]))}"
        if _is_data(media):
            option = ""
            remedy = f"data: addresses and base64 are not supported: save them as files, with --map {ours}=…"
        else:
            remedy = f"use it with {option}"
        looks = f"column {name!r} looks like {called} (such as {shown!r}) and is not used"
        message = f"{looks}; {remedy}, or leave it out with {drop}"
        return UnusedMedia(name, ours, shown, option, message)


def _is_data(media: Sequence[Medium]) -> bool:
    return _most_common([medium.form for medium in media]) == "data"


def _most_common(values: Sequence[T]) -> T:
    return Counter(values).most_common(1)[0][0]
