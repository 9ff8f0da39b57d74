"""Write an export to a file: Parquet, numpy's .npz, or JSON lines."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firstsight.errors import QueryError
from firstsight.media.policy import MediaPolicy
from firstsight.records import Record, plain_value
from firstsight.retrieval.export.file_replacement import replaced_file
from firstsight.retrieval.export.row_stream import VECTOR, RowSelection, RowStream
from firstsight.retrieval.export.shot_stream import ShotStream, open_stream
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store

OnRows = Callable[[int, int | None], None]
"""Called with the number of rows written so far, and of all rows if it is known."""


@dataclass(frozen=True)
class ExportSummary(Record):
    """A written export."""

    file: str
    table: str  # items, views or shots
    rows: int
    columns: tuple[str, ...]  # names of the columns, or of the arrays of an .npz
    blocked_items: int  # left out, because a safety decision blocks them
    encoder: str
    fingerprint: str
    dim: int
    bytes: int
    unreadable_videos: int = 0  # of shots: videos without thumbnails, because they could not be read


def write_file(
    store: Store,
    path: Path,
    selection: RowSelection,
    on_rows: OnRows = lambda done, total: None,
    *,
    policy: MediaPolicy | None = None,
) -> ExportSummary:
    """Write the selected rows of a database to a file, whole or not at all; an existing file is replaced.

    Args:
        store: the database.
        path: the file; its ending chooses the format: .parquet, .npz or .jsonl. An .npz has ids and vectors only.
        selection: rows and columns.
        on_rows: called after each batch.
        policy: limits of the videos that thumbnails of shots are read from.

    Raises:
        QueryError: the ending is unknown, a name is unknown, the filter is wrong, or an .npz is to have columns or no
            vectors.
        StoreError: the tables cannot be read.
        OSError: the file cannot be written, such as on a full disk.
    """
    write = FORMATS.get(path.suffix.lower())
    if write is None:
        raise QueryError(f"{path} ends in none of {', '.join(FORMATS)}; the ending chooses the format")
    if write is _write_npz:
        selection = _select_vectors(path, selection)
    stream = open_stream(store, selection, policy)
    with replaced_file(path) as file:
        rows, columns = write(file, stream, on_rows)
    spec = store.spec
    return ExportSummary(
        file=str(path),
        table=selection.of,
        rows=rows,
        columns=tuple(columns),
        blocked_items=stream.blocked_items(),
        encoder=spec.name,
        fingerprint=spec.fingerprint,
        dim=spec.dim,
        bytes=path.stat().st_size,
        unreadable_videos=stream.unreadable_videos if isinstance(stream, ShotStream) else 0,
    )


def json_lines(batch: pa.RecordBatch) -> str:
    """Format one JSON object a line: times in ISO 8601, bytes in base64, and the vector as the last entry.

    Numbers of 32 bits have the fewest digits that give the same value.
    """
    plain = [name for name in batch.schema.names if name != VECTOR]
    rows = _fewest_digits(batch.select(plain)).to_pylist() if plain else [{}] * len(batch)
    lines = [json.dumps(row, ensure_ascii=False, default=_json_value) for row in rows]
    if VECTOR in batch.schema.names:
        separator = ", " if plain else ""
        vectors = _vector_texts(batch[VECTOR])
        lines = [f'{line[:-1]}{separator}"vector": {vector}}}' for line, vector in zip(lines, vectors, strict=True)]
    return "".join(f"{line}\n" for line in lines)


def _json_value(value: object) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else plain_value(value)


def _fewest_digits(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Shares and measures as float64 with the fewest digits that give the same float32."""
    columns = [_as_float64(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _as_float64(values: pa.Array[Any]) -> pa.Array[Any]:
    if pa.types.is_float32(values.type):
        return pc.cast(pc.cast(values, pa.string()), pa.float64())
    if pa.types.is_struct(values.type):
        struct = cast("pa.StructArray", values)
        fields = [_as_float64(struct.field(n)) for n in range(struct.type.num_fields)]
        return pa.StructArray.from_arrays(fields, [field.name for field in struct.type], mask=struct.is_null())
    return values


def _vector_texts(column: pa.Array[Any]) -> list[str]:
    """Vectors as JSON: the fewest digits that give the same float32, or null."""
    vectors = vectors_of_column(column)
    digits = pc.cast(pa.array(vectors.ravel()), pa.string())  # json.dumps takes 30 times as long
    ends = pa.array(np.arange(len(vectors) + 1, dtype=np.int64) * vectors.shape[1])
    joined: Any = pc.binary_join(pa.LargeListArray.from_arrays(ends, digits), ", ")
    texts = iter(joined.to_pylist())
    return [f"[{next(texts)}]" if valid else "null" for valid in column.is_valid().to_pylist()]


def _write_json_lines(file: IO[bytes], stream: RowStream | ShotStream, on_rows: OnRows) -> tuple[int, list[str]]:
    rows, total = 0, stream.expected_rows()
    for batch in stream.batches():
        file.write(json_lines(batch).encode())
        rows += len(batch)
        on_rows(rows, total)
    return rows, stream.schema.names


def _write_parquet(file: IO[bytes], stream: RowStream | ShotStream, on_rows: OnRows) -> tuple[int, list[str]]:
    import pyarrow.parquet as pq

    schema = stream.schema
    rows, total = 0, stream.expected_rows()
    texts: Any = [field.name for field in schema if pa.types.is_string(field.type)]  # typed as a flag
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=texts) as writer:
        for batch in stream.batches():
            writer.write_batch(batch)  # a row group of its own: the writer keeps no other rows
            rows += len(batch)
            on_rows(rows, total)
    return rows, schema.names


def _select_vectors(path: Path, selection: RowSelection) -> RowSelection:
    if selection.of == "shots":
        raise QueryError(f"{path.name} cannot hold shots; write a .parquet or .jsonl")
    if selection.columns is not None or not selection.vectors:
        raise QueryError(f"{path.name} has ids and vectors only; choose columns with .parquet or .jsonl")
    columns = ["item_id"] if selection.of == "items" else ["view_id", "item_id"]
    return replace(selection, columns=[*columns, VECTOR])


def _write_npz(file: IO[bytes], stream: RowStream | ShotStream, on_rows: OnRows) -> tuple[int, list[str]]:
    """Write arrays that numpy loads without pickle; rows without a vector are left out."""
    assert isinstance(stream, RowStream)  # checked by _select_vectors
    total = _count_vectors(stream)  # numpy writes the number of rows first
    names = [name for name in stream.schema.names if name != VECTOR]
    ids: dict[str, list[pa.Array[Any]]] = {name: [] for name in names}
    spec, rows = stream.snapshot.spec, 0
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("vectors.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (total, spec.dim)}
            np.lib.format.write_array_header_1_0(member, header)
            for batch in stream.batches():
                batch = batch.filter(batch[VECTOR].is_valid())
                member.write(vectors_of_column(batch[VECTOR]).astype("<f4", copy=False).tobytes())
                for name in names:
                    ids[name].append(batch[name])
                rows += len(batch)
                on_rows(rows, total)
        arrays = {_ARRAYS[stream.selection.of, name]: _texts(chunks) for name, chunks in ids.items()}
        arrays |= {"encoder": np.array(spec.name), "fingerprint": np.array(spec.fingerprint)}
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return rows, ["vectors", *arrays]


_ARRAYS: Final = {("items", "item_id"): "ids", ("views", "view_id"): "ids", ("views", "item_id"): "item_ids"}
"""Names of the arrays of texts in an .npz, by table and column."""


def _count_vectors(stream: RowStream) -> int:
    if stream.selection.of == "views":  # each view has a vector
        return stream.count_rows()
    return sum(len(batch) - batch[VECTOR].null_count for batch in stream.with_columns([VECTOR]).batches())


def _texts(chunks: list[Any]) -> np.ndarray[Any, Any]:
    """Texts as numpy's unicode, chunk by chunk: a list of all would take several times the memory."""
    rows = sum(map(len, chunks))
    longest = max((pc.max(pc.utf8_length(chunk)).as_py() or 0 for chunk in chunks), default=0)
    texts = np.empty(rows, dtype=f"<U{max(longest, 1)}")
    start = 0
    for chunk in chunks:
        texts[start : start + len(chunk)] = chunk.to_pylist()
        start += len(chunk)
    return texts


FORMATS: Final[dict[str, Callable[[IO[bytes], RowStream | ShotStream, OnRows], tuple[int, list[str]]]]] = {
    ".parquet": _write_parquet,
    ".npz": _write_npz,
    ".jsonl": _write_json_lines,
}
"""Ending of a file to the function that writes it; it returns the number of rows and the names of their columns."""
