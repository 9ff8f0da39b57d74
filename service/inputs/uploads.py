"""Picture files of posted rows, named by the digest of their bytes and kept while an item uses them."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from firstsight import Database
from firstsight.database import open_tables
from firstsight.errors import MissingDatabaseError
from firstsight.media.file_formats import sniff
from firstsight.storage.sql.conditions import quote

FOLDER: Final = ".uploads"
_NAME: Final = re.compile(r"[0-9a-f]{64}\.[a-z0-9]+")


class Uploads:
    """A folder of uploaded pictures. Callers must hold the writing database while they change it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, data: bytes) -> str:
        """Write a file with these bytes durably to the disk; return its name."""
        name = f"{hashlib.sha256(data).hexdigest()}.{(sniff(data) or 'picture').lower()}"
        if not (self._folder / name).exists():
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._folder / name)
            _sync_folder(self._folder)
        return name

    def names_of_items(self, db: Database, item_ids: Sequence[str]) -> set[str]:
        """Return the names of the uploaded files that the given items use."""
        try:
            uris = open_tables(db).view_rows(item_ids)["uri"].to_pylist()
        except MissingDatabaseError:  # the first rows will create it
            return set()
        return {uri for uri in uris if uri is not None and _NAME.fullmatch(uri)}

    def drop_unused(self, db: Database, names: Iterable[str]) -> None:
        """Remove the named files that no item uses: a removed picture must not stay on the disk."""
        for name in names:
            if not open_tables(db).views.count_rows(f"uri = {quote(name)}"):
                (self._folder / name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write the folder's new names to the disk, if the system supports it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
