"""Fitting of codebooks, and assignment of semantic IDs to items."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.codebooks import LEVELS, Codebooks
from firstsight.recommend.semantic_ids.codes import Codes, count_copies, format_semantic_id, uniqueness
from firstsight.recommend.semantic_ids.semantic_id_store import (
    ARRAYS,
    AssignedIds,
    SemanticIdVersion,
    describe_version,
    not_fitted_error,
    parse_codebooks,
    read_codebook_row,
    read_codes,
    read_encoded_items,
)
from firstsight.storage.semantic_id_table import (
    CODEBOOKS_SCHEMA,
    CODEBOOKS_TABLE,
    CODES_SCHEMA,
    CODES_TABLE,
    newest_version,
)
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.store import Store
from firstsight.storage.vector_format import vectors_of_column

_ROWS_PER_COMMIT = 50_000


def fit_semantic_ids(
    store: Store, *, levels: int = LEVELS, codes: int | None = None, seed: int = 0
) -> SemanticIdVersion:
    """Fit new codebooks and give every item its ID; the caller holds the writer lock.

    IDs of earlier versions stay, for models that were trained on them. If the process is killed during the fit, the
    earlier version stays in use.

    Args:
        store: the database.
        levels: 1 to 8.
        codes: centroids of a level, 2 to 65,536; by default an eighth of the items, at most 256.
        seed: of the fit.

    Raises:
        QueryError: a number is out of range, or there are too few items.
        StoreError: the database cannot be written.
    """
    space = ItemSpace.load(store)
    books = Codebooks.fit(space.vectors, levels=levels, codes=codes, seed=seed)
    version = (newest_version(store) or 0) + 1
    earlier = open_side_table(store, CODES_TABLE)
    if earlier is not None:
        try:
            earlier.delete(f"version = {version}")  # rows of a fit that was killed
        except (OSError, RuntimeError) as error:
            raise unwritable(store, error) from error
    known = np.flatnonzero(space.has_vector)
    new_codes = books.encode(space.vectors[known])
    _add_codes(store, version, space.item_ids[known], new_codes, count_copies(new_codes))
    row = {
        "version": version,
        "fitted_at": datetime.now(UTC),
        "fingerprint": store.spec.fingerprint,
        "levels": books.levels,
        "codes": books.codes,
        "dim": int(books.means.shape[2]),
        "width": int(books.axes.shape[2]),
        **{name: getattr(books, name).ravel() for name in ARRAYS},
        "figures": json.dumps({"errors": list(books.errors), "unique": uniqueness(new_codes)}),
    }
    upsert(store, CODEBOOKS_TABLE, CODEBOOKS_SCHEMA, "version", [row])  # last, since this row puts the version into use
    return describe_version(store, row)


def assign_semantic_ids(store: Store) -> AssignedIds:
    """Give an ID of the newest version to every item without one; existing IDs stay the same.

    The caller holds the writer lock. An item keeps its ID when its vector changes: models know it by this name.

    Returns:
        The number of new IDs, and the version with its counts afterwards.

    Raises:
        QueryError: no codebooks were fitted.
        StoreError: the database cannot be written, or the codebooks belong to another encoder.
    """
    row = read_codebook_row(store, None)
    if row is None:
        raise not_fitted_error(store)
    version = int(row["version"])
    assigned, codes, _ = read_codes(store, version)
    item_ids, vectors = _waiting_items(store, set(assigned.tolist()))
    if len(item_ids):
        new_codes = parse_codebooks(row).encode(vectors)
        _add_codes(store, version, item_ids, new_codes, count_copies(new_codes, codes))
    return AssignedIds(len(item_ids), describe_version(store, row))


def _waiting_items(store: Store, assigned: set[str]) -> tuple[NDArray[np.object_], Vectors]:
    """Read the items with a vector and without an ID, sorted: ids (n,), vectors (n, dim)."""
    item_ids: list[str] = []
    parts = [np.empty((0, store.spec.dim), dtype=np.float32)]
    for batch_ids, batch in read_encoded_items(store, ["vector"]):
        new = [n for n, item_id in enumerate(batch_ids) if item_id not in assigned]
        parts.append(vectors_of_column(batch["vector"])[new])
        item_ids += [batch_ids[n] for n in new]
    ids = np.array(item_ids, dtype=object)
    order = np.argsort(ids)
    return ids[order], np.concatenate(parts)[order]


def _add_codes(
    store: Store, version: int, item_ids: NDArray[np.object_], codes: Codes, copies: NDArray[np.int32]
) -> None:
    """Add rows in commits; after each, the table is right, since copies are counted in the order of the rows."""
    try:
        table = store.session.create_table(CODES_TABLE, schema=CODES_SCHEMA, exist_ok=True)
        for start in range(0, len(item_ids), _ROWS_PER_COMMIT):
            part = slice(start, start + _ROWS_PER_COMMIT)
            ids, part_codes, part_copies = item_ids[part].tolist(), codes[part], copies[part]
            columns = {
                "row_id": [f"{version}/{item_id}" for item_id in ids],
                "version": np.full(len(ids), version, dtype=np.int64),
                "item_id": ids,
                "semantic_id": [
                    format_semantic_id(code, copy) for code, copy in zip(part_codes, part_copies, strict=True)
                ],
                "codes": part_codes.tolist(),
                "copy": part_copies,
            }
            # an upsert by the row's key: repeating an interrupted attempt adds no row twice
            table.merge_insert("row_id").when_not_matched_insert_all().use_index(False).execute(
                pa.table(columns, schema=CODES_SCHEMA)
            )
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error
