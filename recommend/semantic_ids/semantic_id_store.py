"""Semantic IDs kept in the database: codebooks by version, and the codes that items were given under each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError, StoreError
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.codebooks import LEVELS, Codebooks, Codes, count_copies, uniqueness
from firstsight.storage.semantic_id_table import (
    CODEBOOKS_SCHEMA,
    CODEBOOKS_TABLE,
    CODES_SCHEMA,
    CODES_TABLE,
    newest_version,
)
from firstsight.storage.side_tables import open_side_table, unwritable, upsert
from firstsight.storage.store import Store

_ROWS_PER_COMMIT = 50_000
_ROWS_PER_READ = 20_000
_ARRAYS = ("means", "axes", "centroids")


@dataclass(frozen=True)
class SemanticIdVersion:
    """One fit of the codebooks, and how far items have codes of it.

    Attributes:
        version: 1 and up; the newest is in use.
        fitted_at: UTC.
        levels, codes: levels, and centroids of each.
        errors: what each level leaves over of the fitted vectors, mean squared length, 1 for nothing explained.
        unique: share of the items fitted on whose codes no other had, before the de-duplication number.
        assigned: items with an ID of this version, those since removed as well, so that no ID is given out again.
        waiting: items of the database that could have one and do not yet.
        most_copies: items that share one code, at most.
    """

    version: int
    fitted_at: datetime
    levels: int
    codes: int
    errors: tuple[float, ...]
    unique: float
    assigned: int
    waiting: int
    most_copies: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"fitted_at": self.fitted_at.isoformat(), "errors": list(self.errors)}


def load_codebooks(store: Store, version: int | None = None) -> tuple[int, Codebooks] | None:
    """Codebooks with their version, the newest by default; None where none were ever fitted.

    Raises:
        QueryError: there is no such version.
        StoreError: they are not of this database's encoder.
    """
    row = _codebook_row(store, version)
    return None if row is None else (int(row["version"]), _codebooks(row))


def fit_semantic_ids(
    store: Store, *, levels: int = LEVELS, codes: int | None = None, seed: int = 0
) -> SemanticIdVersion:
    """Fit new codebooks and give every item its ID; the caller holds the writer lock.

    IDs of earlier versions are kept, for the models that were trained on them. Where this is killed, the version
    before stays in use.

    Args:
        levels, codes, seed: as for `Codebooks.fit`.

    Raises:
        QueryError: a number out of range, or too few items.
        StoreError: the database cannot be written.
    """
    space = ItemSpace.load(store)
    books = Codebooks.fit(space.vectors, levels=levels, codes=codes, seed=seed)
    version = (newest_version(store) or 0) + 1
    left = open_side_table(store, CODES_TABLE)
    if left is not None:
        try:
            left.delete(f"version = {version}")  # of a fit that was killed
        except (OSError, RuntimeError) as error:
            raise unwritable(store, error) from error
    known = np.flatnonzero(space.has_vector)
    found = books.encode(space.vectors[known])
    _add_codes(store, version, space.item_ids[known], found, count_copies(found))
    row = {
        "version": version,
        "fitted_at": datetime.now(UTC),
        "fingerprint": store.spec.fingerprint,
        "levels": books.levels,
        "codes": books.codes,
        "dim": int(books.means.shape[2]),
        "width": int(books.axes.shape[2]),
        **{name: getattr(books, name).ravel() for name in _ARRAYS},
        "figures": json.dumps({"errors": list(books.errors), "unique": uniqueness(found)}),
    }
    upsert(store, CODEBOOKS_TABLE, CODEBOOKS_SCHEMA, "version", [row])  # last: from here on the version counts
    return _describe_version(store, row)


def assign_semantic_ids(store: Store) -> tuple[int, SemanticIdVersion]:
    """Give an ID to every item that has none of the newest version; the IDs that there are stay as they are.

    The caller holds the writer lock. An item keeps its ID when its vector changes: it is a name, and models know it.

    Returns:
        How many were given one, and how things stand afterwards.

    Raises:
        QueryError: no codebooks were fitted.
        StoreError: the database cannot be written, or the codebooks are of another encoder.
    """
    row = _codebook_row(store, None)
    if row is None:
        raise _not_fitted_error(store)
    version = int(row["version"])
    assigned, codes, _ = read_codes(store, version)
    item_ids, vectors = _waiting_items(store, set(assigned.tolist()))
    if len(item_ids):
        found = _codebooks(row).encode(vectors)
        _add_codes(store, version, item_ids, found, count_copies(found, codes))
    return len(item_ids), _describe_version(store, row)


def read_codes(store: Store, version: int) -> tuple[NDArray[np.object_], Codes, NDArray[np.int32]]:
    """Every item that was given an ID of a version: ids (n,), codes (n, levels), copies (n,)."""
    table = open_side_table(store, CODES_TABLE)
    if table is None:
        return np.empty(0, dtype=object), np.zeros((0, 1), np.int32), np.zeros(0, np.int32)
    rows = table.search().where(f"version = {version}").select(["item_id", "codes", "copy"]).limit(None).to_arrow()
    flat = pc.list_flatten(rows["codes"]).to_numpy()
    codes = flat.reshape(rows.num_rows, -1) if rows.num_rows else np.zeros((0, 1))
    return (
        rows["item_id"].to_numpy(),
        np.asarray(codes, dtype=np.int32),
        np.asarray(rows["copy"].to_numpy(), dtype=np.int32),
    )


def export_semantic_ids(store: Store, version: int | None = None) -> Iterator[dict[str, Any]]:
    """The IDs of the items that are in the database now, in the order of their item ids, for a generative recommender.

    Each has `item_id`, `semantic_id` ("12-200-7-0"), `codes`, `copy`, and `tokens`: the same numbers with each level
    moved past those before it, so that one vocabulary holds all levels; copies come last.

    Raises:
        QueryError: no such version.
    """
    row = _codebook_row(store, version)
    if row is None:
        raise _not_fitted_error(store)
    item_ids, codes, copies = read_codes(store, int(row["version"]))
    there = {item_id for ids in store.item_ids() for item_id in ids}
    shift = np.arange(row["levels"] + 1) * row["codes"]
    tokens = np.column_stack([codes, copies]) + shift
    for n in np.argsort(item_ids):
        if item_ids[n] in there:
            yield {
                "item_id": item_ids[n],
                "semantic_id": _text(codes[n], copies[n]),
                "codes": codes[n].tolist(),
                "copy": int(copies[n]),
                "tokens": tokens[n].tolist(),
            }


def semantic_id_versions(store: Store) -> list[SemanticIdVersion]:
    """Every fit with its figures, oldest first."""
    table = open_side_table(store, CODEBOOKS_TABLE)
    if table is None:
        return []
    columns = [name for name in CODEBOOKS_SCHEMA.names if name not in _ARRAYS]
    rows = table.search().select(columns).limit(None).to_arrow().to_pylist()
    return [_describe_version(store, row) for row in sorted(rows, key=lambda row: int(row["version"]))]


def _codebook_row(store: Store, version: int | None) -> dict[str, Any] | None:
    wanted = newest_version(store) if version is None else version
    table = open_side_table(store, CODEBOOKS_TABLE)
    if table is None or wanted is None:
        if version is None:
            return None
        raise _not_fitted_error(store)
    found = table.search().where(f"version = {wanted}").limit(None).to_arrow()
    if not found.num_rows:
        raise QueryError(f"there is no version {wanted} of semantic IDs in {store.uri}; firstsight semantic-ids status")
    row: dict[str, Any] = {name: found[name][0].as_py() for name in found.schema.names if name not in _ARRAYS}
    if row["fingerprint"] != store.spec.fingerprint:
        raise StoreError(
            f"the semantic IDs of {store.uri} are of another encoder than its vectors; fit again: "
            "firstsight semantic-ids fit"
        )
    return row | {name: found[name].chunk(0)[0].values.to_numpy() for name in _ARRAYS}


def _codebooks(row: dict[str, Any]) -> Codebooks:
    levels, codes, dim, width = (int(row[name]) for name in ("levels", "codes", "dim", "width"))
    shapes = {
        "means": (levels, codes, dim),
        "axes": (levels - 1, dim, width),
        "centroids": (levels - 1, codes, width),
    }
    arrays = {name: np.asarray(row[name], dtype=np.float32).reshape(shapes[name]) for name in _ARRAYS}
    return Codebooks(**arrays, errors=tuple(json.loads(row["figures"])["errors"]))


def _describe_version(store: Store, row: dict[str, Any]) -> SemanticIdVersion:
    item_ids, _, copies = read_codes(store, int(row["version"]))
    assigned = set(item_ids.tolist())
    waiting = sum(item_id not in assigned for some, _ in _read_encoded_items(store, []) for item_id in some)
    figures = json.loads(row["figures"])
    return SemanticIdVersion(
        version=int(row["version"]),
        fitted_at=row["fitted_at"],
        levels=int(row["levels"]),
        codes=int(row["codes"]),
        errors=tuple(figures["errors"]),
        unique=float(figures["unique"]),
        assigned=len(item_ids),
        waiting=waiting,
        most_copies=int(copies.max(initial=-1)) + 1,
    )


def _waiting_items(store: Store, assigned: set[str]) -> tuple[NDArray[np.object_], Vectors]:
    """The items with a vector that have no ID, sorted: ids (n,), vectors (n, dim)."""
    item_ids: list[str] = []
    parts = [np.empty((0, store.spec.dim), dtype=np.float32)]
    for some, batch in _read_encoded_items(store, ["vector"]):
        new = [n for n, item_id in enumerate(some) if item_id not in assigned]
        flat = pc.list_flatten(batch["vector"]).to_numpy(zero_copy_only=False)
        parts.append(np.asarray(flat, dtype=np.float32).reshape(len(some), -1)[new])
        item_ids += [some[n] for n in new]
    ids = np.array(item_ids, dtype=object)
    order = np.argsort(ids)
    return ids[order], np.concatenate(parts)[order]


def _read_encoded_items(store: Store, columns: list[str]) -> Iterator[tuple[list[str], pa.RecordBatch]]:
    """Batches of the items that have a vector: their ids, and these columns."""
    search = store.items.search().where("vector IS NOT NULL").select(["item_id", *columns])
    for batch in search.limit(None).to_batches(_ROWS_PER_READ):
        if batch.num_rows:
            yield [str(item_id) for item_id in batch["item_id"].to_pylist()], batch


def _add_codes(
    store: Store, version: int, item_ids: NDArray[np.object_], codes: Codes, copies: NDArray[np.int32]
) -> None:
    """Add rows, in commits that each leave the table right: copies are counted in the order of the rows."""
    try:
        table = store.session.create_table(CODES_TABLE, schema=CODES_SCHEMA, exist_ok=True)
        for start in range(0, len(item_ids), _ROWS_PER_COMMIT):
            part = slice(start, start + _ROWS_PER_COMMIT)
            ids, some, nth = item_ids[part].tolist(), codes[part], copies[part]
            columns = {
                "row_id": [f"{version}/{item_id}" for item_id in ids],
                "version": np.full(len(ids), version, dtype=np.int64),
                "item_id": ids,
                "semantic_id": [_text(code, copy) for code, copy in zip(some, nth, strict=True)],
                "codes": some.tolist(),
                "copy": nth,
            }
            # a new row by its key: an upsert and not an addition, so that nothing is doubled whatever was tried before
            table.merge_insert("row_id").when_not_matched_insert_all().use_index(False).execute(
                pa.table(columns, schema=CODES_SCHEMA)
            )
    except (OSError, RuntimeError) as error:
        raise unwritable(store, error) from error


def _text(codes: NDArray[np.int32], copy: int) -> str:
    return "-".join(map(str, [*codes.tolist(), int(copy)]))


def _not_fitted_error(store: Store) -> QueryError:
    return QueryError(f"{store.uri} has no semantic IDs yet; run first: firstsight semantic-ids fit")
