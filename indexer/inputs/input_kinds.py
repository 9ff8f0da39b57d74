"""What a Python program may pass as a catalogue or as events: the name of a file, or rows in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from firstsight.errors import CatalogError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import Source


class ArrowStream(Protocol):
    """An object with Arrow's PyCapsule interface, such as a data frame or a reader of batches."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class BatchedTable(Protocol):
    """A dataset of Arrow, which reads its files batch by batch."""

    def to_batches(self) -> object: ...


class LazyTable(Protocol):
    """A query of polars, which is computed when its rows are read."""

    def collect(self) -> object: ...


Rows: TypeAlias = "Iterable[Mapping[str, object]] | ArrowStream | BatchedTable | LazyTable"
"""Rows in memory; `firstsight.indexer.inputs.python_rows.source_of_rows` lists the kinds."""

CatalogueInput: TypeAlias = "str | os.PathLike[str] | Rows | Source"
"""A file, a folder, `-` for standard input, rows in memory, or an opened source."""


def open_input(
    source: CatalogueInput, *, encoding: str = "utf-8", root: str | os.PathLike[str] | None = None
) -> Source:
    """Open a file or rows in memory.

    Args:
        encoding: of text formats.
        root: base folder of relative media paths; only for rows in memory.

    Raises:
        CatalogError: the source cannot be opened, or a root is given for a file.
    """
    if isinstance(source, str | os.PathLike):
        if root is not None:
            raise CatalogError(f"root is for rows in memory; media of {os.fspath(source)} start at its own folder")
        return open_source(os.fspath(source), encoding=encoding)
    if isinstance(source, Source):
        return source
    from firstsight.indexer.inputs.python_rows import source_of_rows

    return source_of_rows(source, root=None if root is None else Path(root))
