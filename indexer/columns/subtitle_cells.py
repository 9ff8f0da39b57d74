"""Read subtitles from a cell: addresses of files, or the timed lines themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from firstsight.errors import CatalogError
from firstsight.indexer.columns.media_values import is_no_medium, parse_nested
from firstsight.media.language_tags import language_tag
from firstsight.media.subtitle_files import EXTENSIONS, language_in_name
from firstsight.records import Record

_ADDRESS_KEYS: Final = ("url", "src", "uri", "href", "link", "path", "file", "content")
_LANGUAGE_KEYS: Final = ("language", "lang", "srclang", "locale")
_SEPARATOR: Final = re.compile(r"\s*[|\n]\s*")
_MAX_DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class SubtitleSource(Record):
    """Subtitles of an item, as its catalogue gives them: an address, or their content."""

    uri: str | None  # of a .srt or .vtt file
    content: str | None = None  # a text in one of these formats, or a JSON list of lines
    language: str | None = None  # tag; None if unknown


def read_subtitles(value: object) -> tuple[SubtitleSource, ...]:
    """Read the subtitles of a cell.

    Args:
        value: an address, several with `|` between them, a list, an object from language tags to addresses, a text in
            the form of a .srt or .vtt file, or a list of objects with `start`, `end` and `text`.

    Raises:
        CatalogError: the value has another form.
    """
    return tuple(_read(value, None, 0))


def holds_subtitles(value: object) -> bool:
    """Whether a value is of a column of subtitles: each address has the extension .srt or .vtt."""
    try:
        sources = read_subtitles(value)
    except CatalogError:
        return False
    return bool(sources) and all(
        source.uri is None or re.split("[?#]", source.uri.lower())[0].endswith(EXTENSIONS) for source in sources
    )


def _read(value: object, language: str | None, depth: int) -> Iterator[SubtitleSource]:
    if value is None or value != value or is_no_medium(value):
        return
    if depth > _MAX_DEPTH:
        raise CatalogError("subtitles are nested too deeply; give a list of addresses or lines")
    if isinstance(value, str):
        yield from _in_text(value, language, depth)
    elif isinstance(value, Mapping):
        yield from _in_object(value, language, depth)
    elif isinstance(value, list | tuple) and value:
        if all(isinstance(entry, Mapping) and "text" in entry for entry in value):
            yield SubtitleSource(None, json.dumps(list(value), ensure_ascii=False, default=str), language)
        else:
            for entry in value:
                yield from _read(entry, language, depth + 1)
    elif not isinstance(value, list | tuple):
        raise CatalogError(f"subtitles must be an address or timed lines, not {value!r:.80}")


def _in_text(text: str, language: str | None, depth: int) -> Iterator[SubtitleSource]:
    text = text.strip()
    if "-->" in text or text.startswith("WEBVTT"):
        yield SubtitleSource(None, text, language)
    elif text[0] in "[{":
        nested = parse_nested(text)
        if nested is None:
            raise CatalogError(f"subtitles start with {text[0]} but are no JSON list or object: {text[:60]!r}")
        yield from _read(nested, language, depth + 1)
    else:
        for address in _SEPARATOR.split(text):
            if not is_no_medium(address):
                yield SubtitleSource(address, None, language or language_in_name(re.split("[?#]", address)[0]))


def _in_object(value: Mapping[object, object], language: str | None, depth: int) -> Iterator[SubtitleSource]:
    by_key = {str(key).lower(): entry for key, entry in value.items()}
    if "text" in by_key:
        yield from _read([value], language, depth + 1)
        return
    named = next((by_key[key] for key in _LANGUAGE_KEYS if isinstance(by_key.get(key), str)), None)
    address = next((by_key[key] for key in _ADDRESS_KEYS if by_key.get(key)), None)
    if address is not None:
        yield from _read(address, language_tag(str(named)) if named else language, depth + 1)
        return
    if "lines" in by_key:
        yield from _read(by_key["lines"], language_tag(str(named)) if named else language, depth + 1)
        return
    for key, entry in value.items():
        tag = language_tag(str(key))
        if tag is None:
            raise CatalogError(f"subtitles have the key {str(key)!r:.40}; give language tags, or url, src or text")
        yield from _read(entry, tag, depth + 1)
