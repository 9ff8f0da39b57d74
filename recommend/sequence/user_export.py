"""Vectors of users in a file, for a retrieval of candidates elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.records import Record
from firstsight.retrieval.export.file_replacement import replaced_file
from firstsight.storage.tables import vector_type

if TYPE_CHECKING:
    from io import IOBase

ENDINGS = (".parquet", ".arrow", ".jsonl")
VECTOR_COLUMNS = ("short_term", "long_term")

_USERS = 2_048


@dataclass(frozen=True)
class ExportedUsers(Record):
    """A written file of user vectors."""

    file: str
    version: int  # of the sequence model
    users: int
    width: int  # numbers in a vector
    bytes: int


def check_ending(path: Path) -> None:
    """Check that the ending of a file is one of `ENDINGS`.

    Raises:
        QueryError: it is not.
    """
    if path.suffix.lower() not in ENDINGS:
        raise QueryError(f"{path} ends in none of {', '.join(ENDINGS)}; the ending chooses the format")


def export_users(
    path: Path,
    model: SequenceRecommender,
    version: int,
    interactions: Interactions,
    on_rows: Callable[[int, int | None], None] = lambda done, total: None,
) -> ExportedUsers:
    """Write the vectors of all users with events to a file, whole or not at all; an existing file is replaced.

    Columns: `user_id`; `events`, the number of events; `short_term` and `long_term`, unit vectors of `width` float32 in
    the space of the projected items. The metadata of the schema has `firstsight:sequence_version` and `:width`; in JSON
    Lines there is none, and each row has the version.

    Args:
        path: the file; its ending chooses the format: .parquet, .arrow (an Arrow IPC file) or .jsonl.
        model: a trained model.
        version: of the model.
        interactions: the events.
        on_rows: called after each batch with the number of users written, and of all.

    Raises:
        QueryError: the ending is unknown.
        OSError: the file cannot be written.
    """
    check_ending(path)
    width, total = model.settings.width, len(np.unique(interactions.users))
    metadata: dict[bytes | str, bytes | str] = {
        "firstsight:version": package_version("firstsight"),
        "firstsight:table": "users",
        "firstsight:sequence_version": str(version),
        "firstsight:width": str(width),
    }
    fields: list[pa.Field[Any]] = [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
        *(pa.field(name, vector_type(width), nullable=False) for name in VECTOR_COLUMNS),
    ]
    schema = pa.schema(fields, metadata=metadata)
    done = 0
    with replaced_file(path) as file, _writer(path, file, schema, version) as write:
        for batch in _batches(model, interactions, schema):
            write(batch)
            done += len(batch)
            on_rows(done, total)
    return ExportedUsers(str(path), version, done, width, path.stat().st_size)


def _batches(model: SequenceRecommender, interactions: Interactions, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    users, counts = np.unique(interactions.users, return_counts=True)
    for start in range(0, len(users), _USERS):
        part = users[start : start + _USERS]
        vectors = model.user_vectors([interactions.history(int(user)) for user in part])
        columns: list[Any] = [
            pa.array(interactions.user_ids[part].tolist(), pa.string()),
            pa.array(counts[start : start + _USERS], pa.int64()),
            *(_vector_array(rows) for rows in (vectors.short_term, vectors.long_term)),
        ]
        yield pa.record_batch(columns, schema=schema)


def _vector_array(rows: Vectors) -> pa.Array[Any]:
    flat = pa.array(np.ascontiguousarray(rows).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


@contextmanager
def _writer(
    path: Path, file: IO[bytes], schema: pa.Schema, version: int
) -> Iterator[Callable[[pa.RecordBatch], object]]:
    """A function that writes a batch in the format of the ending."""
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetWriter(file, schema, compression="zstd") as parquet:
            yield parquet.write_batch
    elif path.suffix.lower() == ".arrow":
        with pa.ipc.new_file(pa.PythonFile(cast("IOBase", file), "w"), schema) as arrow:
            yield arrow.write_batch
    else:
        yield lambda batch: file.write(_json_lines(batch, version))


def _json_lines(batch: pa.RecordBatch, version: int) -> bytes:
    rows = [row | {"sequence_version": version} for row in batch.to_pylist()]
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
