"""Storage formats of vectors: float32, or float16 with half of the bytes.

The format is chosen when a database is created; the schema of its tables tells it. Stored float16 vectors are read as
float32 vectors of length 1, so that no reader has to know the format.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import numpy as np
import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.vectors import Vectors, unit

VectorFormat = Literal["float32", "float16"]
"""Numbers of a stored vector. float16 keeps 11 bits of each number: .998 of the ten nearest are the same."""

VECTOR_FORMATS: tuple[VectorFormat, ...] = get_args(VectorFormat)

_NUMBERS: dict[VectorFormat, pa.DataType] = {"float32": pa.float32(), "float16": pa.float16()}


def check_vector_format(name: str) -> VectorFormat:
    """Check the name of a format.

    Raises:
        QueryError: there is no such format.
    """
    for known in VECTOR_FORMATS:
        if name == known:
            return known
    raise QueryError(f"vectors cannot be stored as {name!r}; give {' or '.join(VECTOR_FORMATS)}")


def vector_type(dim: int, numbers: VectorFormat = "float32") -> pa.DataType:
    """The Arrow type of vectors of `dim` numbers."""
    return pa.list_(_NUMBERS[numbers], dim)


def vector_format(kind: pa.DataType) -> VectorFormat:
    """The format of a column of vectors, from its Arrow type."""
    return "float16" if pa.types.is_float16(cast("pa.FixedSizeListType[Any, Any]", kind).value_type) else "float32"


def vectors_of_column(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> Vectors:
    """Convert a column of vectors to (n, dim) float32 unit rows; rows without a vector are left out."""
    joined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    vectors = cast("pa.FixedSizeListArray[Any, Any]", joined.drop_null())
    flat = np.asarray(vectors.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    rows = flat.reshape(-1, vectors.type.list_size)
    return rows if vector_format(vectors.type) == "float32" else unit(rows)


def float32_schema(schema: pa.Schema, name: str = "vector") -> pa.Schema:
    """The schema with a float32 column of vectors; LanceDB converts it to the format of the table in a merge."""
    place = schema.get_field_index(name)
    if place < 0:
        return schema
    field = schema.field(place)
    return schema.set(place, field.with_type(vector_type(cast("Any", field.type).list_size)))


def to_float32(rows: pa.Table, name: str = "vector") -> pa.Table:
    """Convert a float16 column of vectors to float32 unit rows; rows without a vector stay without one.

    Args:
        rows: of `items` or `views`; returned as they are if they have no such column, or if it is float32.
        name: of the column.
    """
    place = rows.schema.get_field_index(name)
    if place < 0 or vector_format(rows.schema.field(place).type) == "float32":
        return rows
    field, column = rows.schema.field(place), cast("Any", rows[name].combine_chunks())
    dim = field.type.list_size
    values = np.zeros((len(column), dim), dtype=np.float32)
    known = column.is_valid().to_numpy(zero_copy_only=False)
    values[known] = vectors_of_column(column)
    flat = pa.array(values.reshape(-1), pa.float32())
    array: Any = pa.FixedSizeListArray.from_arrays(flat, dim, mask=pa.array(~known))
    return rows.set_column(place, field.with_type(vector_type(dim)), array)
