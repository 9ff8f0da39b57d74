"""Choose the columns that are read as pictures and videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from firstsight.indexer.columns.catalog_options import MEDIA, CatalogOptions
from firstsight.indexer.columns.column_names import (
    is_main_picture,
    looks_like_pictures,
    number_of,
    picture_order,
    rank_of,
    shows_something_else,
)
from firstsight.indexer.columns.media_cells import MediaColumn
from firstsight.indexer.columns.media_values import MediaField, MediaFinder, Medium, is_no_medium, is_video_page
from firstsight.indexer.columns.sample import ColumnSample, Sample

MIN_MEDIA_SHARE: Final = 0.5
"""Minimum share of checked values that must look like media in a media column."""

EVENLY_FILLED: Final = 0.05
"""Columns whose filled shares differ by less than this count as equally well filled."""

CHECKED_VALUES: Final = 100
"""Number of values that are checked per column."""


@dataclass
class MediaChoice:
    """The media columns of a catalogue."""

    columns: list[MediaColumn] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # column -> why it is not used
    alternatives: set[str] = field(default_factory=set)  # further columns of main pictures
    passed_over: set[str] = field(default_factory=set)  # columns with media that are knowingly not used


@dataclass(frozen=True)
class _Found:
    name: str
    field: MediaField
    media: Sequence[Medium]

    @property
    def separators(self) -> tuple[str, ...]:
        seen = Counter(medium.separator for medium in self.media if medium.separator)
        return tuple(separator for separator, _ in seen.most_common())


def choose_media(sample: Sample, options: CatalogOptions, finder: MediaFinder, names: Collection[str]) -> MediaChoice:
    """Choose the media columns, in the order of an item's media.

    Args:
        names: columns that may be used; mapped columns are used in any case.
    """
    choice = MediaChoice()
    guessed: list[_Found] = []
    for ours in MEDIA:
        for name in options.mapping.get(ours, ()):
            column = sample.columns.get(name, ColumnSample(name))
            media = _media_of(column, finder, hinted=True)
            choice.columns.append(_exact(_Found(name, ours, media)))
    for name in names:
        found = _found(sample.columns[name], finder, choice)
        if found is not None and found.field not in options.mapping:
            guessed.append(found)
    pictures = _choose_pictures([found for found in guessed if found.field == "images"], sample, choice)
    videos = sorted((found for found in guessed if found.field == "videos"), key=_video_order)
    for found in [*pictures, *videos]:
        read = _exact(found) if found.name in MEDIA else _guessed(found)
        choice.columns.append(replace(read, alternative=found.name in choice.alternatives))
    used = {column.name for column in choice.columns}
    for ours in MEDIA:  # rows after the sample may have them
        if ours not in options.mapping and ours not in used and ours not in options.drop and ours not in sample.columns:
            choice.columns.append(MediaColumn(ours, ours, guessed=False))
    return choice


def _found(column: ColumnSample, finder: MediaFinder, choice: MediaChoice) -> _Found | None:
    """Check whether a column holds media, by its name and its values."""
    hinted = looks_like_pictures(column.name)
    for_videos = rank_of(column.name, "videos") is not None
    named: MediaField | None = "images" if hinted else "videos" if for_videos else None
    if column.name in MEDIA:
        ours: MediaField = "images" if column.name == "images" else "videos"
        return _Found(column.name, ours, _media_of(column, finder, hinted=True))
    checked = [value for value in column.values if not is_no_medium(value)][:CHECKED_VALUES]
    if not checked:
        return None if named is None else _Found(column.name, named, ())
    if for_videos and 2 * sum(is_video_page(value) for value in checked) >= len(checked):
        choice.notes[column.name] = "addresses of pages that play videos, not of video files"
        return None
    media = _media_of(column, finder, hinted=hinted or for_videos)
    if len(media) < MIN_MEDIA_SHARE * len(checked):
        if named is not None:
            called = "pictures" if named == "images" else "videos"
            choice.notes[column.name] = f"named like {called}, but holds none"
        return None
    if Counter(medium.form for medium in media).most_common(1)[0][0] == "data":
        return None  # reported as unused, with the remedy
    if for_videos and not hinted:  # addresses of videos may have no extension
        return _Found(column.name, "videos", media)
    return _Found(column.name, Counter(medium.field for medium in media).most_common(1)[0][0], media)


def _choose_pictures(found: list[_Found], sample: Sample, choice: MediaChoice) -> list[_Found]:
    """Sort the picture columns, and leave out small copies and logos.

    Of several columns of main pictures, the best filled one is the first, and the others are alternatives.
    """
    others = [column for column in found if shows_something_else(column.name)]
    item = [column for column in found if column not in others]
    for column in others:
        choice.notes[column.name] = "its name says that it does not show the item; use it with --map"
        choice.passed_over.add(column.name)
    full = [column for column in item if picture_order(column.name)[0] != 3 and column.media]
    small = [column for column in item if picture_order(column.name)[0] == 3]
    if full:
        for column in small:
            choice.notes[column.name] = f"a small copy of {full[0].name!r}"
            choice.passed_over.add(column.name)
        item = [column for column in item if column not in small]
    elif filled := sorted((column for column in small if column.media), key=lambda column: picture_order(column.name)):
        for column in filled[1:]:
            choice.notes[column.name] = f"another small copy of {filled[0].name!r}"
            choice.passed_over.add(column.name)
        item = [column for column in item if column not in filled[1:]]
    item.sort(key=lambda column: picture_order(column.name))
    mains = [column for column in item if is_main_picture(column.name) and column.media]
    if len(mains) > 1:
        best = max(sample.filled(column.name) for column in mains)
        main = next(column for column in mains if sample.filled(column.name) >= best - EVENLY_FILLED)
        for column in mains:
            if column is not main:
                choice.alternatives.add(column.name)
                why = "is filled better" if sample.filled(column.name) < best - EVENLY_FILLED else "comes first"
                choice.notes[column.name] = f"{main.name!r} {why}; used only for items without a picture there"
        item.remove(main)
        item.insert(0, main)
    return item


def _media_of(column: ColumnSample, finder: MediaFinder, *, hinted: bool) -> list[Medium]:
    values = [value for value in column.values if not is_no_medium(value)][:CHECKED_VALUES]
    found = (finder.find(value, hinted) for value in values)
    return [medium for medium in found if medium is not None]


def _video_order(found: _Found) -> tuple[int, int]:
    rank = rank_of(found.name, "videos")
    return (999 if rank is None else rank, number_of(found.name))


def _exact(found: _Found) -> MediaColumn:
    return MediaColumn(found.name, found.field, guessed=False, separators=found.separators)


def _guessed(found: _Found) -> MediaColumn:
    hinted = looks_like_pictures(found.name) or found.field == "videos"
    return MediaColumn(found.name, found.field, guessed=True, separators=found.separators, hinted=hinted)
