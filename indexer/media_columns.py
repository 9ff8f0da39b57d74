"""Unused columns of a catalogue that look like pictures or videos.

The picture column of a shop's file is rarely called `images`. The first pass over a catalogue checks the first values
of each unused column, and reports the columns with media, with the option that would use them.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeVar
from urllib.parse import unquote

from firstsight.errors import MediaError
from firstsight.indexer.formats.source import EmbeddedMedium, Row
from firstsight.media.file_formats import (
    PICTURE_EXTENSIONS,
    PICTURE_FORMATS,
    SNIFF_BYTES,
    VIDEO_EXTENSIONS,
    VIDEO_FORMATS,
    sniff,
)
from firstsight.media.local_files import open_regular

T = TypeVar("T")

MediaField = Literal["images", "videos"]

SAMPLE: Final = 100
"""Number of values that are checked per column: the first ones that are not empty."""

MIN_MEDIA_SHARE: Final = 0.5
"""Minimum share of checked values that look like media in a media column."""

_MAX_VALUE: Final = 20_000  # characters; of a longer value only the beginning is checked
_MAX_PATH: Final = 1_000  # characters
_MAX_DEPTH: Final = 4  # levels of nested values
_SHOWN: Final = 60  # characters of an example
_SEPARATORS: Final = ("|", ",", ";", "\n", "\t", " ")

_PICTURE_ENDINGS: Final = PICTURE_EXTENSIONS | {".heic", ".heif"}
_AMBIGUOUS: Final = frozenset({".ts"})  # a transport stream or TypeScript: needs an address or an existing file
_ENDINGS: Final = "|".join(sorted(ending[1:] for ending in _PICTURE_ENDINGS | VIDEO_EXTENSIONS))
_ENDING: Final = re.compile(rf"(?<=[^/\\.])\.({_ENDINGS})(?![A-Za-z0-9])", re.IGNORECASE)
_LAST_ENDING: Final = re.compile(r"[^/\\.](\.[A-Za-z0-9]{1,5})$")
_ADDRESS: Final = re.compile(r"(?:(?:https?|s3|gs|az):)?//[^/?#\s]+(?P<path>[^?#\s]*)(?P<rest>\S*)", re.IGNORECASE)
_DATA: Final = re.compile(r"data:(image|video)/", re.IGNORECASE)
_BASE64: Final = re.compile(r"(?:/9j/|iVBORw0KGgo|R0lGOD)[A-Za-z0-9+/\s]{50}")
"""The beginning of a JPEG, PNG or GIF in base64."""
_PAGES: Final = frozenset({".html", ".htm", ".pdf", ".txt", ".xml", ".json", ".js", ".css", ".zip"})
_PICTURE_WORDS: Final = frozenset(
    (
        *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"),
        *("thumbnail", "thumbnails", "thumb", "thumbs", "media", "gallery"),
        *("bild", "bilder", "foto", "fotos", "imagen", "imagenes"),
    )
)
_NO_VALUE: Final = re.compile(
    r"[\s\W_]*|n/?a|nan|null|none|nil|undefined|unknown|missing|no[ _-]?(image|images|picture|photo|media|url)",
    re.IGNORECASE,
)
"""Texts that mean "no medium" in a column of media."""
_ADDRESS_WORDS: Final = frozenset(
    ("url", "urls", "uri", "uris", "link", "links", "href", "src", "address", "path", "file", "files", "list", "large")
)


@dataclass(frozen=True)
class UnusedMedia:
    """An unused column that looks like media."""

    column: str
    field: MediaField  # our column that it would be read as
    example: str  # one of its values, shortened
    option: str  # command-line option that would use it; empty if its values must be rewritten first
    message: str  # one sentence, with the remedy


@dataclass(frozen=True)
class _Medium:
    field: MediaField
    text: str
    form: Literal["text", "nested", "data"] = "text"
    separator: str | None = None  # between media in one cell


@dataclass
class _Sample:
    looked_at: int = 0
    media: list[_Medium] = field(default_factory=list)


class MediaColumns:
    """Media in the columns of a catalogue, collected by the first pass; memory is limited by the number of columns.

    Args:
        used: columns that are read as images or videos.
        others: columns that are read as something else, or dropped.
        mapping, dropped, separator: as in `CatalogOptions`.
        root: base folder of relative paths; files outside it are not opened.
    """

    def __init__(
        self,
        *,
        used: Iterable[str],
        others: Iterable[str],
        mapping: Mapping[str, Sequence[str]],
        dropped: Iterable[str],
        separator: str,
        root: Path,
    ) -> None:
        self._read = frozenset(used) | frozenset(others)
        self._mapping = mapping
        self._dropped = sorted(dropped)
        self._separator = separator
        self._root = root
        self._samples: dict[str, _Sample] = {}
        self._names: set[str] = set()  # of all columns so far
        self.used: set[MediaField] = set()

    def see(self, row: Row, *, used: Iterable[MediaField]) -> None:
        """Check a usable row; `used` lists the media fields that the row fills."""
        self.used.update(used)
        for name, value in row.items():
            sample = self._samples.get(name)
            if sample is None:
                self._names.add(name)
                if name in self._read:
                    continue
                sample = self._samples[name] = _Sample()
            if sample.looked_at < SAMPLE and not _is_empty(value):
                sample.looked_at += 1
                if medium := self._medium(value, looks_like_pictures(name)):
                    sample.media.append(medium)

    @property
    def none_used(self) -> bool:
        """Whether there are picture columns but no picture is used, or media columns but no medium is used."""
        return any(not self.used or unused.field == "images" not in self.used for unused in self.unused())

    def unused(self) -> tuple[UnusedMedia, ...]:
        """List the unused columns that look like media, in the catalogue's order."""
        columns = {
            name: sample.media
            for name, sample in self._samples.items()
            if sample.media and len(sample.media) >= MIN_MEDIA_SHARE * sample.looked_at
        }
        option = self._map_option(columns)
        return tuple(self._describe(name, media, option) for name, media in columns.items())

    # ---- messages

    def _map_option(self, columns: Mapping[str, Sequence[_Medium]]) -> str:
        """Make the option that uses all plain-address columns; it repeats the given --map, as only the last counts."""
        mapping = {ours: list(theirs) for ours, theirs in self._mapping.items()}
        separators: list[str] = []
        for name, media in columns.items():
            if _form(media) == "text" and _can_be_mapped(name):
                ours = _most_common([medium.field for medium in media])
                mapping.setdefault(ours, [ours] if ours in self._names else []).append(name)
                separators += [medium.separator for medium in media if medium.separator not in (None, self._separator)]
        pairs = ",".join(f"{ours}={'+'.join(theirs)}" for ours, theirs in mapping.items())
        option = f"--map {shlex.quote(pairs)}"
        return option + (f" --list-separator '{_most_common(separators)}'" if separators else "")

    def _describe(self, name: str, media: Sequence[_Medium], option: str) -> UnusedMedia:
        ours: MediaField = _most_common([medium.field for medium in media])
        called = "pictures" if ours == "images" else "videos"
        form = _form(media)
        shown = next(medium.text for medium in media if medium.form == form)
        shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
        drop = f"--drop {shlex.quote(','.join([*self._dropped, name]))}"
        if form == "nested":
            option = ""
            unread = "nested values and Python lists are not supported"
            remedy = f"{unread}: write the addresses as a list of texts, with --map {ours}=…"
        elif form == "data":
            option = ""
            remedy = f"data: addresses and base64 are not supported: save them as files, with --map {ours}=…"
        elif not _can_be_mapped(name):
            option = ""
            remedy = f"rename it to {ours}"
        else:
            remedy = f"use it with {option}"
        looks = f"column {name!r} looks like {called} (such as {shown!r}) and is not used"
        message = f"{looks}; {remedy}, or leave it out with {drop}"
        return UnusedMedia(name, ours, shown, option, message)

    # ---- checks of values

    def _medium(self, value: object, hinted: bool, depth: int = 0) -> _Medium | None:
        if isinstance(value, str):
            return self._in_text(value.strip(), hinted, depth)
        if depth > _MAX_DEPTH:
            return None
        if isinstance(value, EmbeddedMedium):
            kind = _kind_of_bytes(value.data)
            return None if kind is None else _Medium(kind, value.name or "binary data")
        if isinstance(value, bytes):
            kind = _kind_of_bytes(value)
            return None if kind is None else _Medium(kind, "binary data", "nested")
        if isinstance(value, dict):
            inside = (self._medium(nested, hinted, depth + 1) for nested in value.values())
            medium = next((candidate for candidate in inside if candidate is not None), None)
            return None if medium is None else _Medium(medium.field, medium.text, "nested")
        if isinstance(value, list | tuple):
            parts = [
                self._medium(entry, hinted, depth + 1) for entry in value[:SAMPLE] if entry is not None and entry != ""
            ]
            media = [part for part in parts if part is not None]
            if not media or len(media) < len(parts):
                return None
            plain = all(isinstance(entry, str | EmbeddedMedium | None) for entry in value[:SAMPLE])
            return media[0] if plain else replace(media[0], form="nested")
        return None

    def _in_text(self, text: str, hinted: bool, depth: int) -> _Medium | None:
        if data := _DATA.match(text):
            return _Medium("images" if data.group(1).lower() == "image" else "videos", text, "data")
        if _BASE64.match(text):
            return _Medium("images", text, "data")
        if not text or len(text) > _MAX_VALUE:
            return None
        if text[0] in "[{":
            try:
                return self._medium(json.loads(text), hinted, depth + 1)
            except (ValueError, RecursionError):
                return self._in_python_text(text, hinted, depth)
        for separator in (self._separator, *_SEPARATORS):
            parts = [part for piece in text.split(separator) if (part := piece.strip())]
            first = self._field_of_address(parts[0], hinted) if len(parts) > 1 else None
            if first and all(self._field_of_address(part, hinted) for part in parts[1:SAMPLE]):
                return _Medium(first, parts[0], separator=separator)
        whole = self._field_of_address(text, hinted)
        return None if whole is None else _Medium(whole, text)

    def _in_python_text(self, text: str, hinted: bool, depth: int) -> _Medium | None:
        """Find the medium in "['a.jpg']", which pandas writes to CSV for a list; it would be read as one path."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about backslashes in paths
                value = ast.literal_eval(text)
            medium = self._medium(value, hinted, depth + 1)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
        return None if medium is None else replace(medium, form="nested")

    def _field_of_address(self, text: str, hinted: bool) -> MediaField | None:
        if len(text) > _MAX_PATH:
            return None
        if address := _ADDRESS.fullmatch(text):
            return _at_address(address["path"], address["rest"], hinted)
        ending = _last_ending(text)
        if ending in _AMBIGUOUS or ending not in _PICTURE_ENDINGS | VIDEO_EXTENSIONS:
            return self._in_file(text)
        return _field_of(ending)

    def _in_file(self, text: str) -> MediaField | None:
        """Find the media field of an existing file inside the catalogue's folder, by its first bytes."""
        try:
            path = (self._root / text).resolve()
            if not path.is_file() or not path.is_relative_to(self._root.resolve()):
                return None
            with open_regular(path) as file:
                return _kind_of_bytes(file.read(SNIFF_BYTES))
        except (OSError, ValueError, RuntimeError, MediaError):  # not a path, or not readable
            return None


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and _NO_VALUE.fullmatch(value[:_SHOWN]) is not None)


def looks_like_pictures(name: str) -> bool:
    """Whether a column has a picture name: image_url, mainImage, "additional image link", photo2."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    while words and words[-1] in _ADDRESS_WORDS:
        words.pop()
    return bool(words) and words[-1] in _PICTURE_WORDS


def _at_address(path: str, rest: str, hinted: bool) -> MediaField | None:
    last = _last_ending(unquote(path))
    if last in _PAGES:
        return None
    endings = _ENDING.findall(unquote(path)) or _ENDING.findall(unquote(rest))
    if endings:
        return _field_of(f".{endings[-1].lower()}")
    return "images" if hinted else None


def _last_ending(text: str) -> str:
    match = _LAST_ENDING.search(text)
    return match.group(1).lower() if match else ""


def _field_of(ending: str) -> MediaField:
    return "images" if ending in _PICTURE_ENDINGS else "videos"


def _kind_of_bytes(data: bytes) -> MediaField | None:
    file_format = sniff(data[:SNIFF_BYTES])
    if file_format in PICTURE_FORMATS or file_format == "HEIC":
        return "images"
    return "videos" if file_format in VIDEO_FORMATS else None


def _form(media: Sequence[_Medium]) -> Literal["text", "nested", "data"]:
    return _most_common([medium.form for medium in media])


def _can_be_mapped(name: str) -> bool:
    """Whether --map can contain the name: commas and pluses separate its columns."""
    return not re.search(r"[,+]", name) and name == name.strip()


def _most_common(values: Sequence[T]) -> T:
    return Counter(values).most_common(1)[0][0]
