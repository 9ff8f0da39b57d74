"""Folders of pictures and videos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstsight.errors import CatalogError
from firstsight.indexer.formats.source import BadRow, Row
from firstsight.media.file_formats import media_kind


@dataclass(frozen=True)
class FolderSource:
    """A folder of pictures and videos; each file is an item, with its path as id and its name as title."""

    name: str
    root: Path
    place: str = "file"
    format: str = "folder"
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        number = 0
        for path in _walk(self.root):
            medium = media_kind(path)
            if medium is None:
                continue
            number += 1
            relative = path.relative_to(self.root).as_posix()
            if not _is_unicode(relative):
                yield number, BadRow(f"the name of {os.fsencode(relative)!r} is not UTF-8; rename it")
                continue
            title = path.stem.replace("_", " ").replace("-", " ").strip()
            yield (
                number,
                {
                    "item_id": relative,
                    "kind": "product" if medium == "picture" else "video",
                    "title": title or None,
                    "images" if medium == "picture" else "videos": [relative],
                },
            )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without hidden ones, in a stable order; memory holds the names of one folder."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise CatalogError(f"the folder {folder} cannot be read ({error.strerror}); check its permissions") from None
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file() or path.is_symlink():
            yield path


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
