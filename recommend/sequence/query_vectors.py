"""Vectors of searches: encoded once, then read from a table, so that slates need no encoder for known queries."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.errors import DatabaseBusyError, StoreError
from firstsight.recommend.models.text_vectors import MAX_CHARACTERS, WordSpace
from firstsight.storage.side_tables import merge_small_files, open_side_table, upsert
from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import vector_type

TABLE = "query_vectors"

_KEPT = 10_000  # vectors in memory
_BATCH = 1_000


def query_vectors_schema(dim: int) -> pa.Schema:
    """Schema of the table: a hash in the place of each text, since what users typed may be private."""
    fields: list[pa.Field[Any]] = [
        pa.field("query_id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
        pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder
        pa.field("vector", vector_type(dim), nullable=False),
    ]
    return pa.schema(fields)


def query_id(text: str, fingerprint: str) -> str:
    """The key of a query in the table: a hash of encoder and text."""
    return hashlib.blake2b(f"{fingerprint}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _table_name(store: Store) -> str:
    """The table for the encoder in force: an encoder of another dimension, after a switch, has a table of its own."""
    table, dim = open_side_table(store, TABLE), store.spec.dim
    return TABLE if table is None or table.schema.field("vector").type == vector_type(dim) else f"{TABLE}_{dim}"


def read_query_vectors(store: Store, texts: Sequence[str]) -> dict[str, Vectors]:
    """Read the stored vectors of queries, (dim,) float32 each; texts without one are missing."""
    table = open_side_table(store, _table_name(store))
    if table is None:
        return {}
    text_of = {query_id(text, store.spec.fingerprint): text for text in texts}
    found: dict[str, Vectors] = {}
    ids = list(text_of)
    for start in range(0, len(ids), _BATCH):
        condition = is_in("query_id", ids[start : start + _BATCH])
        rows = table.search().where(condition).select(["query_id", "vector"]).limit(None).to_arrow()
        for key, vector in zip(rows["query_id"].to_pylist(), rows["vector"].to_pylist(), strict=True):
            found[text_of[str(key)]] = np.asarray(vector, dtype=np.float32)
    return found


def store_query_vectors(store: Store, vectors: Mapping[str, Vectors], *, wait_s: float = 0.0) -> None:
    """Store vectors of queries; those that are there are replaced.

    Raises:
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    fingerprint = store.spec.fingerprint
    rows = [
        {"query_id": query_id(text, fingerprint), "fingerprint": fingerprint, "vector": vector}
        for text, vector in vectors.items()
    ]
    with store.writing(wait_s):
        name = _table_name(store)
        upsert(store, name, query_vectors_schema(store.spec.dim), "query_id", rows)
        table = open_side_table(store, name)
        if table is not None:
            merge_small_files(store, table)


class QueryReader:
    """Reads texts of searches as content vectors: the encoder's text vector beside that of the words.

    Vectors come from memory, then from the table, then from the encoder; new ones are stored if no other process is
    writing. Threads may share a reader.
    """

    def __init__(
        self, store: Store, words: WordSpace, encode: Callable[[Sequence[str]], Vectors] | None = None
    ) -> None:
        """
        Args:
            store: the database.
            words: of the model's content vectors.
            encode: the encoder's text tower; None to leave out queries that are not stored.
        """
        self._store, self._words, self._encode = store, words, encode
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """(q, dim + d) float32 unit rows; zeros for a text without a vector."""
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            new = read_query_vectors(self._store, missing)
            unknown = [text for text in missing if text not in new and text.strip()]
            if unknown and self._encode is not None:
                encoded = self._encode([text[:MAX_CHARACTERS] for text in unknown])
                made = dict(zip(unknown, np.asarray(encoded, dtype=np.float32), strict=True))
                self._store_quietly(made)
                new |= made
            found |= new
            with self._lock:
                self._kept.update(new)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        dim = self._store.spec.dim
        vectors = np.zeros((len(texts), dim + len(self._words.components)), dtype=np.float32)
        known = [row for row, text in enumerate(texts) if text in found]
        if not known:
            return vectors
        vectors[known, :dim] = [found[texts[row]] for row in known]
        vectors[known, dim:] = self._words.transform([texts[row][:MAX_CHARACTERS] for row in known])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-8), dtype=np.float32)

    def _store_quietly(self, vectors: Mapping[str, Vectors]) -> None:
        with suppress(DatabaseBusyError, StoreError):  # slates go on, and the next reader encodes them again
            store_query_vectors(self._store, vectors)
