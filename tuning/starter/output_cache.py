"""A file that keeps the outputs of starter's towers, so that a second tuning of a catalogue takes seconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import StoreError

_KEYS_PER_QUERY: Final = 500

_BATCH: Final = 256
"""Inputs that are computed between two writes, so that a stopped run keeps its work."""


class OutputCache:
    """Vectors by the digest of their input, for one tower with one preprocessing.

    Args:
        path: of the SQLite file; made if it is missing, and made again if it is damaged.
        tower: digest of everything that changes the vectors.
        width: numbers in one vector.

    Raises:
        StoreError: the file cannot be written.
    """

    def __init__(self, path: Path, tower: str, width: int) -> None:
        self._path = path
        self._tower = tower
        self._width = width

    def vectors(
        self,
        keys: Sequence[str],
        compute: Callable[[Sequence[int]], NDArray[np.float32]],
        on_new: Callable[[int], None],
    ) -> NDArray[np.float32]:
        """Read vectors, and compute and keep those that are missing.

        Args:
            keys: (n) digests of the inputs.
            compute: gives the vectors of inputs, by their positions.
            on_new: called with the number of computed vectors so far.

        Returns:
            (n, width) float32.
        """
        vectors = np.empty((len(keys), self._width), dtype=np.float32)
        positions: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            positions.setdefault(f"{self._tower} {key}", []).append(position)
        try:
            with closing(self._open()) as file:
                found = self._read(file, list(positions), positions, vectors)
                missing = [name for name in positions if name not in found]
                for start in range(0, len(missing), _BATCH):
                    names = missing[start : start + _BATCH]
                    new = compute([positions[name][0] for name in names])
                    for name, vector in zip(names, new, strict=True):
                        vectors[positions[name]] = vector
                    rows = [(name, vector.tobytes()) for name, vector in zip(names, new, strict=True)]
                    with file:
                        file.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?)", rows)
                    on_new(start + len(names))
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._path} cannot keep the outputs of a tower ({error}); remove it or free space"
            ) from error
        return vectors

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self._path.parent} cannot be made ({error.strerror}); set FIRSTSIGHT_CACHE") from error
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # busy, read-only or no space: the file is not damaged
                raise
            self._path.unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, timeout=60)
        try:
            file.execute("CREATE TABLE IF NOT EXISTS outputs (key TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        except sqlite3.Error:
            file.close()
            raise
        return file

    def _read(
        self,
        file: sqlite3.Connection,
        names: Sequence[str],
        positions: dict[str, list[int]],
        vectors: NDArray[np.float32],
    ) -> set[str]:
        found = set()
        for start in range(0, len(names), _KEYS_PER_QUERY):
            part = names[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, vector FROM outputs WHERE key IN ({marks})"  # noqa: S608 - question marks only
            for name, stored in file.execute(query, part):
                if len(stored) == 4 * self._width:
                    vectors[positions[name]] = np.frombuffer(stored, dtype=np.float32)
                    found.add(name)
        return found
