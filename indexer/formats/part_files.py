"""Folders of Parquet or Arrow files that form one table, as Spark, Hive and the datasets library write them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from firstsight.errors import CatalogError
from firstsight.indexer.formats.parquet_file import ParquetSource
from firstsight.indexer.formats.source import BadRow, Row, Source

ARROW_EXTENSIONS: Final = frozenset({".arrow", ".feather", ".ipc", ".arrows"})
"""Extensions of Arrow IPC files and streams."""

_EXTENSIONS: Final = ARROW_EXTENSIONS | {".parquet"}
_BESIDE: Final = frozenset({".json", ".md", ".txt", ".crc", ""})  # descriptions and checksums of the part files
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass
class PartsSource:
    """Part files of one table; folders named `column=value` add columns."""

    name: str
    root: Path
    parts: Sequence[Path]
    place: str = "row"
    notes: Sequence[str] = ()

    @property
    def format(self) -> str:
        return f"table of {len(self.parts)} {'file' if len(self.parts) == 1 else 'files'}"

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        number = 0
        notes: dict[str, None] = {}
        for path in self.parts:
            partition = _partition(path.relative_to(self.root).parts[:-1])
            part = _open_part(f"{self.name}/{path.relative_to(self.root).as_posix()}", path)
            for _, row in part.rows():
                number += 1
                yield number, row if isinstance(row, BadRow) or not partition else {**partition, **row}
            notes.update(dict.fromkeys(part.notes))
        self.notes = tuple(notes)


def find_parts(name: str, folder: Path) -> PartsSource | None:
    """Recognise a folder of part files: it has Parquet or Arrow files, and no other data.

    Raises:
        CatalogError: the folder is a Delta table, whose files also hold deleted rows.
    """
    if (folder / "_delta_log").is_dir():
        raise CatalogError(f"{name} is a Delta table, which is not supported; write its rows to a Parquet file")
    parts = []
    try:
        for path in _files(folder):
            suffix = path.suffix.lower()
            if suffix in _EXTENSIONS:
                parts.append(path)
            elif suffix not in _BESIDE:
                return None
    except OSError:  # the reader of folders reports it
        return None
    return PartsSource(name, folder, sorted(parts)) if parts else None


def _files(folder: Path) -> Iterator[Path]:
    """Yield files, without hidden ones and those such as _SUCCESS; the files of a folder come before its subfolders."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)
    for subfolder in sorted(folders):
        yield from _files(subfolder)


def _open_part(name: str, path: Path) -> Source:
    if path.suffix.lower() == ".parquet":
        return ParquetSource(name, path, path.parent)
    from firstsight.indexer.formats.arrow_file import ArrowSource

    return ArrowSource(name, path, path.parent)


def _partition(folders: Sequence[str]) -> dict[str, str | None]:
    pairs = (folder.partition("=") for folder in folders if "=" in folder)
    return {unquote(column): None if value == _NO_VALUE else unquote(value) for column, _, value in pairs}
