"""Folders of pictures and videos."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firstsight.errors import CatalogError, MediaError
from firstsight.indexer.file_titles import title_of
from firstsight.indexer.formats.left_out_files import (
    IGNORED_FOLDERS,
    LeftOutFiles,
    is_catalogue,
    is_helper_file,
    remedy_of,
)
from firstsight.indexer.formats.source import BadRow, Row
from firstsight.media.file_formats import (
    AMBIGUOUS_EXTENSIONS,
    HEIC_EXTENSIONS,
    PICTURE_FORMATS,
    SNIFF_BYTES,
    VIDEO_FORMATS,
    MediaKind,
    extension_of,
    media_kind,
    sniff,
)
from firstsight.media.local_files import open_regular

MAX_PATH: Final = 512
"""Characters of a path below the folder; it is the item's id."""

_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BY_CONTENT: Final = frozenset({"JPEG", "PNG", "GIF", "WebP", "AVIF", "HEIC", "MP4", "Matroska", "AVI", "MPEG-PS"})
"""Formats that the first bytes show beyond doubt, so that the name does not matter."""
_SOUNDS: Final = frozenset({".m4a", ".m4b", ".m4p", ".m4r", ".mka", ".mks", ".aax", ".alac"})
"""Files in the containers of videos with sound only."""


@dataclass
class FolderSource:
    """A folder of pictures and videos; each file is an item, with its path as id and its name as title.

    A file counts as a picture or video by its first bytes, or by its extension if these are unknown.
    """

    name: str
    root: Path
    place: str = "file"
    format: str = "folder"
    notes: Sequence[str] = ()  # of the last full pass
    unread_folders: Sequence[str] = field(default=(), init=False)  # of the last full pass: their items are unknown

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        left_out = LeftOutFiles(self.name)
        unread: list[str] = []
        number = 0
        for path, kind in _Walk(self.root, left_out, unread).media(self.root):
            number += 1
            relative = path.relative_to(self.root).as_posix()
            yield (
                number,
                {
                    "item_id": relative,
                    "kind": "product" if kind == "picture" else "video",
                    "title": title_of(path.name),
                    "images" if kind == "picture" else "videos": [relative],
                },
            )
        self.notes = tuple(left_out.notes())
        self.unread_folders = tuple(unread)
        if not number:
            raise CatalogError(
                f"{self.name} has no picture or video that can be read" + "".join(f"; {note}" for note in self.notes)
            )


class _Walk:
    """Finds the media below a folder, and notes the other files. Memory holds the names of one folder per level."""

    def __init__(self, root: Path, left_out: LeftOutFiles, unread: list[str]) -> None:
        self._root = root
        self._left_out = left_out
        self._unread = unread
        self._reads_heic = importlib.util.find_spec("pillow_heif") is not None

    def media(self, folder: Path) -> Iterator[tuple[Path, MediaKind]]:
        """Yield pictures and videos, without hidden ones, in a stable order."""
        if len(folder.relative_to(self._root).as_posix()) > MAX_PATH:
            problem = f"folders whose path has more than {MAX_PATH} characters"
            self._left_out.add_problem(problem, self._shown(folder), "move them up or shorten the names")
            return
        paths = self._list(folder)
        stems = frozenset(path.stem.lower() for path in paths if media_kind(path.name))
        for path in paths:
            if path.name.startswith(".") or is_helper_file(path.name):
                continue
            try:
                is_folder = path.is_dir()
                if is_folder and not path.is_symlink():
                    if path.name.lower() not in IGNORED_FOLDERS:
                        yield from self.media(path)
                elif kind := self._kind(path, is_folder, stems):
                    yield path, kind
            except OSError as error:  # a name that is too long, or a disk that fails
                self._left_out.add_problem(f"unreadable files ({error.strerror})", self._shown(path))

    def _list(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            if folder == self._root:
                raise CatalogError(
                    f"the folder {folder} cannot be read ({error.strerror}); check its permissions"
                ) from None
            self._unread.append(folder.relative_to(self._root).as_posix())
            problem = f"unreadable folders ({error.strerror})"
            self._left_out.add_problem(problem, self._shown(folder), "check their permissions")
            return []

    def _kind(self, path: Path, is_folder: bool, stems: frozenset[str]) -> MediaKind | None:
        """The kind of a file, or None after noting why it is left out."""
        shown, extension = self._shown(path), extension_of(path.name)
        if is_folder:
            self._left_out.add_problem("linked folders", shown, "index each of them by its own path")
        elif path.is_symlink() and not path.exists():
            self._left_out.add_problem("links that lead to no file", shown)
        elif not path.is_file():
            self._left_out.add_problem("pipes or devices", shown)
        elif not path.stat().st_size:
            if media_kind(path.name):
                self._left_out.add_problem("empty pictures or videos (0 bytes)", shown, "copy them again")
        elif is_catalogue(path, stems):
            self._left_out.add_catalogue(shown)
        else:
            file_format = self._format(path)
            kind = self._medium(extension, file_format)
            if kind is None:
                self._left_out.add_file(extension, file_format)
                return None
            return kind if self._has_usable_name(path, shown) else None
        return None

    def _medium(self, extension: str, file_format: str | None) -> MediaKind | None:
        """The kind of a file by its first bytes and its name."""
        by_name: MediaKind | None = media_kind(f"a{extension}")
        if by_name is None:
            if extension in _SOUNDS or remedy_of(extension, None) or file_format not in _BY_CONTENT:
                return None
        elif extension in AMBIGUOUS_EXTENSIONS and file_format not in VIDEO_FORMATS:
            return None
        if file_format == "HEIC" or (file_format is None and extension in HEIC_EXTENSIONS):
            return "picture" if self._reads_heic else None
        if file_format in PICTURE_FORMATS:
            return "picture"
        return "video" if file_format in VIDEO_FORMATS else by_name

    def _has_usable_name(self, path: Path, shown: str) -> bool:
        relative = path.relative_to(self._root).as_posix()
        if not _is_unicode(relative):
            self._left_out.add_problem("files whose name is not UTF-8", shown, "rename them")
        elif _UNUSABLE.search(relative):
            self._left_out.add_problem("files with control characters in their name", shown, "rename them")
        elif len(relative) > MAX_PATH:
            problem = f"files whose path has more than {MAX_PATH} characters"
            self._left_out.add_problem(problem, shown, "move them up or shorten the names")
        else:
            return True
        return False

    def _format(self, path: Path) -> str | None:
        """The format of a file by its first bytes; None if it is unknown or the file is outside the folder."""
        if path.is_symlink() and not path.resolve().is_relative_to(self._root.resolve()):
            return None
        try:
            with open_regular(path) as file:
                return sniff(file.read(SNIFF_BYTES))
        except (MediaError, OSError):  # reported as a failure of the item
            return None

    def _shown(self, path: Path) -> str:
        relative = path.relative_to(self._root).as_posix()
        printable = relative if _is_unicode(relative) else str(os.fsencode(relative))
        return _UNUSABLE.sub("\N{REPLACEMENT CHARACTER}", printable)[:200]


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
