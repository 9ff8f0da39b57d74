"""Recognise pictures and videos in the cells of a catalogue, by address, extension or first bytes."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

from firstsight.errors import MediaError
from firstsight.indexer.columns.catalog_options import MediaField as MediaField
from firstsight.indexer.columns.column_values import holds_only_media
from firstsight.indexer.formats.source import EmbeddedMedium
from firstsight.media.file_formats import (
    AMBIGUOUS_EXTENSIONS,
    PICTURE_EXTENSIONS,
    PICTURE_FORMATS,
    SNIFF_BYTES,
    VIDEO_EXTENSIONS,
    VIDEO_FORMATS,
    sniff,
)
from firstsight.media.local_files import open_regular

SEPARATORS: Final = ("|", ",", ";", "\n", "\t", " ")
"""Separators between the media of one cell."""

ADDRESS_KEYS: Final = ("src", "url", "original", "original_src", "originalsrc", "full", "large", "image", "image_url")
"""Keys of the address in a nested value, best first; compared in lower case."""

_WEAK_KEYS: Final = frozenset(("image", "image_url"))
"""Address keys that say what the address is; a category or brand with one is no picture of the item."""

_MORE_KEYS: Final = (
    *("href", "link", "path", "file", "filename"),
    *("edges", "nodes", "node", "items", "images", "media", "data", "results"),
)

MAX_NESTED: Final = 100
"""Entries of a list that are checked."""

_MAX_VALUE: Final = 20_000  # characters; a longer value is not checked
_MAX_PATH: Final = 1_000  # characters
_MAX_DEPTH: Final = 4  # levels of nested values
_PICTURE_ENDINGS: Final = PICTURE_EXTENSIONS
_AMBIGUOUS: Final = AMBIGUOUS_EXTENSIONS  # these need an address or an existing file
_ENDINGS: Final = "|".join(sorted(ending[1:] for ending in _PICTURE_ENDINGS | VIDEO_EXTENSIONS))
_ENDING: Final = re.compile(rf"(?<=[^/\\.])\.({_ENDINGS})(?![A-Za-z0-9])", re.IGNORECASE)
_LAST_ENDING: Final = re.compile(r"[^/\\.](\.[A-Za-z0-9]{1,5})$")
_ADDRESS: Final = re.compile(r"(?:(?:https?|s3|gs|az):)?//[^/?#\s]+(?P<path>[^?#\s]*)(?P<rest>\S*)", re.IGNORECASE)
_DATA: Final = re.compile(r"data:(image|video)/", re.IGNORECASE)
_BASE64: Final = re.compile(r"(?:/9j/|iVBORw0KGgo|R0lGOD)[A-Za-z0-9+/\s]{50}")
"""The beginning of a JPEG, PNG or GIF in base64."""
_PAGES: Final = frozenset({".html", ".htm", ".pdf", ".txt", ".xml", ".json", ".js", ".css", ".zip"})
_NEXT_ADDRESS: Final = re.compile(r"[\s,;|]+(?=(?:(?:https?|s3|gs|az):)?//)", re.IGNORECASE)
_ANY_ADDRESS: Final = re.compile(r"(?:(?:https?|s3|gs|az):)?//", re.IGNORECASE)
_VIDEO_PAGE: Final = re.compile(
    r"(?:https?:)?//(?:[\w-]+\.)*(?:youtube(?:-nocookie)?\.com|youtu\.be|vimeo\.com|dailymotion\.com|tiktok\.com|"
    r"instagram\.com|facebook\.com|twitch\.tv|wistia\.com)(?:[/?#:]|$)",
    re.IGNORECASE,
)
_NO_VALUE: Final = re.compile(
    r"[\s\W_]*|n/?a|nan|null|none|nil|undefined|unknown|missing|"
    r"no[ _-]?(image|images|picture|photo|media|url|selection)",
    re.IGNORECASE,
)
"""Texts that mean "no medium" in a column of media."""
_SHOWN: Final = 60  # characters; longer texts are a value


@dataclass(frozen=True)
class Medium:
    """The first medium of a cell."""

    field: MediaField
    text: str
    form: Literal["text", "nested", "data"] = "text"  # data: inside the text itself, which is not supported
    separator: str | None = None  # between the media of the cell


class MediaFinder:
    """Finds media in the values of one catalogue.

    Args:
        root: base folder of relative paths; files outside it are not opened.
        separator: separator of media in a cell that the user has named; None for all.
    """

    def __init__(self, root: Path, separator: str | None = None) -> None:
        self._root = root
        self._separators = (separator, *SEPARATORS) if separator else SEPARATORS

    def find(self, value: object, hinted: bool = False, depth: int = 0) -> Medium | None:
        """Find the first medium of a value; None if it holds no media, or other things as well.

        Args:
            hinted: the column has a name for pictures, so an address without an extension is a picture.
        """
        if isinstance(value, str):
            return self._in_text(value.strip(), hinted, depth)
        if isinstance(value, EmbeddedMedium):
            kind = kind_of_bytes(value.data)
            return None if kind is None else Medium(kind, value.name or "embedded file")
        if isinstance(value, bytes):
            kind = kind_of_bytes(value)
            return None if kind is None else Medium(kind, "binary data", "data")
        if depth > _MAX_DEPTH:
            return None
        if isinstance(value, Mapping):
            return self._in_object(value, hinted, depth)
        if isinstance(value, list | tuple):
            return self._in_list(value, hinted, depth)
        return None

    def split(self, text: str, separators: Sequence[str], hinted: bool) -> list[str]:
        """Split a cell into addresses and paths, only where each piece is one; else the text is one piece.

        Args:
            separators: those of the column, best first. With one of them, half of the pieces must be media.
        """
        return self._split(text, separators, hinted)[0]

    def _split(self, text: str, separators: Sequence[str], hinted: bool) -> tuple[list[str], str | None]:
        if _ANY_ADDRESS.match(text):
            between = _NEXT_ADDRESS.search(text)
            separator = None if between is None else between.group().strip(" ")[:1] or " "
            return [piece.strip(" \t\r\n,;|") for piece in _NEXT_ADDRESS.split(text)], separator
        if self._is_file(text):
            return [text], None
        for number, separator in enumerate([*separators, *(s for s in self._separators if s not in separators)]):
            pieces = [piece for part in text.split(separator) if (piece := part.strip())]
            if len(pieces) < 2:
                continue
            found = [self.field_of_address(piece, hinted) is not None for piece in pieces[:MAX_NESTED]]
            if all(found) or (number < len(separators) and 2 * sum(found) >= len(found) and separator != " "):
                return pieces, separator
        return [text.strip(",;|") if text[-1:] in ",;|" else text], None

    def field_of_address(self, text: str, hinted: bool) -> MediaField | None:
        """The field that an address or path belongs to; None if it is no medium."""
        if len(text) > _MAX_PATH:
            return None
        if address := _ADDRESS.fullmatch(text):
            return _at_address(address["path"], address["rest"], hinted)
        ending = _last_ending(text)
        if ending in _AMBIGUOUS or ending not in _PICTURE_ENDINGS | VIDEO_EXTENSIONS:
            return self._in_file(text)
        return _field_of(ending)

    def as_address(self, text: str) -> str:
        """The form of an address or path that can be fetched: `//host/…` has https, `\\` in paths becomes `/`.

        A path such as `/m/h/mh01.jpg` is relative to the catalogue's folder if the file is there.
        """
        if text.startswith("//"):
            return f"https:{text}"
        if "\\" in text and not _ANY_ADDRESS.match(text) and not self._is_file(text):
            text = text.replace("\\", "/")
        if text.startswith("/") and not self._is_file(text) and self._is_file(text.lstrip("/")):
            return text.lstrip("/")
        return text

    def _in_object(self, value: Mapping[object, object], hinted: bool, depth: int) -> Medium | None:
        key, nested = address_in(value)
        if not hinted and (not key or key in _WEAK_KEYS) and not holds_only_media(value):
            return None  # such as a brand with its logo
        medium = self.find(nested, hinted or key in ADDRESS_KEYS, depth + 1)
        return None if medium is None else replace(medium, form="data" if medium.form == "data" else "nested")

    def _in_list(self, value: Sequence[object], hinted: bool, depth: int) -> Medium | None:
        parts = [self.find(entry, hinted, depth + 1) for entry in value[:MAX_NESTED] if entry not in (None, "")]
        media = [part for part in parts if part is not None]
        return media[0] if media and len(media) == len(parts) else None

    def _in_text(self, text: str, hinted: bool, depth: int) -> Medium | None:
        if data := _DATA.match(text):
            return Medium("images" if data.group(1).lower() == "image" else "videos", text, "data")
        if _BASE64.match(text):
            return Medium("images", text, "data")
        if not text or len(text) > _MAX_VALUE:
            return None
        if text[0] in "[{":
            nested = parse_nested(text)
            return None if nested is None else self.find(nested, hinted, depth + 1)
        pieces, separator = self._split(text, (), hinted)
        fields = [self.field_of_address(piece, hinted) for piece in pieces[:MAX_NESTED] if piece]
        if not fields or fields[0] is None or None in fields:
            return None
        return Medium(fields[0], pieces[0], separator=separator)

    def _is_file(self, text: str) -> bool:
        try:
            return len(text) <= _MAX_PATH and (self._root / text).is_file()
        except (OSError, ValueError):
            return False

    def _in_file(self, text: str) -> MediaField | None:
        """Find the media field of an existing file inside the catalogue's folder, by its first bytes."""
        try:
            path = (self._root / text).resolve()
            if not path.is_file() or not path.is_relative_to(self._root.resolve()):
                return None
            with open_regular(path) as file:
                return kind_of_bytes(file.read(SNIFF_BYTES))
        except (OSError, ValueError, RuntimeError, MediaError):  # not a path, or not readable
            return None


def address_in(value: Mapping[object, object]) -> tuple[str, object]:
    """The key and value of the address or file in an object, such as {"src": "a.jpg", "alt": "front"}.

    The value may be a list or object with addresses. The key is empty if it does not say that there is an address.
    """
    embedded = next((nested for nested in value.values() if isinstance(nested, EmbeddedMedium)), None)
    if embedded is not None:
        return "file", embedded
    by_key = {str(key).lower(): nested for key, nested in value.items()}
    for key in (*ADDRESS_KEYS, *_MORE_KEYS):
        if by_key.get(key) not in (None, ""):
            return key, by_key[key]
    nested: Sequence[object] = [entry for entry in by_key.values() if isinstance(entry, Mapping | list | tuple)]
    texts = [entry for entry in by_key.values() if isinstance(entry, str)]
    addresses = (text for text in texts if _ANY_ADDRESS.match(text) or _last_ending(text.strip()) in _PICTURE_ENDINGS)
    return "", nested or next(addresses, next(iter(texts), None))


def is_no_medium(value: object) -> bool:
    """Whether a value is empty, or a text such as `N/A` or `no_selection`."""
    if not isinstance(value, str):
        return value is None
    text = value.strip()
    return len(text) <= _SHOWN and _NO_VALUE.fullmatch(text) is not None


def is_video_page(value: object) -> bool:
    """Whether a value is the address of a page that plays a video, which is no video file."""
    return isinstance(value, str) and _VIDEO_PAGE.match(value.strip()) is not None


def parse_nested(text: str) -> object:
    """Parse a JSON list or object in a text, or one that Python printed, as pandas does; None if it is neither."""
    try:
        value: object = json.loads(text)
        return value
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in paths
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, list | tuple | dict) else None


def kind_of_bytes(data: bytes) -> MediaField | None:
    """The media field of a file that begins with `data`."""
    file_format = sniff(data[:SNIFF_BYTES])
    if file_format in PICTURE_FORMATS or file_format == "HEIC":
        return "images"
    return "videos" if file_format in VIDEO_FORMATS else None


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
