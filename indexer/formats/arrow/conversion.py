"""Conversion of Arrow data to rows of Python values that a catalogue can use.

Arrow's own conversion fails for a whole batch where one value is a time in nanoseconds or in the year 10000, and knows
nothing of pictures. Here such a value is rounded, or read as empty and counted. Conversion is recursive, so values
inside lists, structs and maps follow the same rules.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from firstsight.errors import CatalogError
from firstsight.indexer.formats.arrow.arrow_times import dates, durations, times_of_day, timestamps
from firstsight.indexer.formats.arrow.left_out import LONG_LISTS, MAX_NUMBERS, UNREADABLE, WRONG_TEXT, LeftOut

BATCH_ROWS: Final = 1_000
"""Maximum rows that are converted together: small enough for wide rows, large enough to be fast."""

BATCH_BYTES: Final = 16 * 2**20
"""Bytes of Arrow data that are converted together; with pictures inside, a thousand rows may be a gigabyte."""

_NAMES: Final = ("path", "name", "filename", "file_name", "file", "id")
_PANDAS_INDEX: Final = re.compile(r"__index_level_\d+__")

Values: TypeAlias = "list[Any]"
Array: TypeAlias = "pa.Array[Any]"


def check_column_names(schema: pa.Schema, name: str) -> None:
    """Refuse a table with two columns of one name.

    Raises:
        CatalogError: two columns have one name; the message tells to rename them.
    """
    for column, times in Counter(schema.names).items():
        if times > 1:
            raise CatalogError(f"{name}: {times} columns are called {column!r}; rename all but one")


def rows_per_batch(rows: int, total_bytes: int) -> int:
    """Number of rows to convert together, for a table of this size."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, total_bytes)))


class BatchReader:
    """Converts batches of one source to rows, and notes what it leaves out.

    A column that pandas adds for an index without a name is skipped.
    """

    def __init__(self, left_out: LeftOut) -> None:
        self._left_out = left_out

    def rows(self, batch: pa.RecordBatch) -> Iterator[Mapping[str, object]]:
        """Yield the rows of a batch; values are converted a few megabytes at a time."""
        size = rows_per_batch(batch.num_rows, batch.nbytes)
        for start in range(0, batch.num_rows, size):
            part = batch.slice(start, size)
            columns = {
                name: self._values(part.column(place), name)
                for place, name in enumerate(part.schema.names)
                if not _PANDAS_INDEX.fullmatch(name)
            }
            for place in range(part.num_rows):
                yield {name: values[place] for name, values in columns.items()}

    def _values(self, array: Array, column: str) -> Values:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            return self._extension(cast("pa.ExtensionArray[Any]", array), column)
        if pt.is_dictionary(kind):
            encoded = cast("pa.DictionaryArray[Any, Any]", array)
            return self._values(encoded.dictionary.take(encoded.indices), column)
        if pt.is_run_end_encoded(kind):
            return self._values(pc.call_function("run_end_decode", [array]), column)
        if pt.is_struct(kind):
            return self._structs(cast("pa.StructArray", array), column)
        if pt.is_map(kind):
            return self._maps(array, column)
        if _is_list(kind):
            return self._lists(array, column)
        if _is_binary(kind):
            return list(self._left_out.media(column, [(data, None) for data in array.to_pylist()]))
        return self._scalars(array, column)

    def _scalars(self, array: Array, column: str) -> Values:
        kind = array.type
        if pt.is_timestamp(kind):
            return timestamps(array, column, self._left_out)
        if pt.is_date(kind):
            return dates(array, column, self._left_out)
        if pt.is_time(kind):
            return times_of_day(array, column, self._left_out)
        if pt.is_duration(kind):
            return durations(array)
        if pt.is_float16(kind):
            array = array.cast(pa.float32())
        try:
            return array.to_pylist()
        except UnicodeDecodeError:
            return self._wrong_texts(array, column)
        except (ValueError, OverflowError, pa.ArrowException):
            return [self._single(array[place], column) for place in range(len(array))]

    def _single(self, scalar: pa.Scalar[Any], column: str) -> object:
        try:
            return scalar.as_py()
        except (ValueError, OverflowError, pa.ArrowException):
            self._left_out.add(column, UNREADABLE)
            return None

    def _wrong_texts(self, array: Array, column: str) -> Values:
        """Decode texts of which some are not UTF-8; Parquet does not check them."""
        texts: list[str | None] = []
        for data in array.cast(pa.large_binary()).to_pylist():
            text = None if data is None else data.decode("utf-8", "replace")
            if text is not None and text.encode() != data:
                self._left_out.add(column, WRONG_TEXT)
            texts.append(text)
        return texts

    def _extension(self, array: pa.ExtensionArray[Any], column: str) -> Values:
        name = array.type.extension_name
        if name == "arrow.uuid":
            return [None if data is None else str(UUID(bytes=data)) for data in array.storage.to_pylist()]
        values = self._values(array.storage, column)
        if name == "arrow.bool8":
            return [None if value is None else bool(value) for value in values]
        return values

    def _structs(self, array: pa.StructArray, column: str) -> Values:
        fields = _field_names(array.type)
        children = array.flatten()
        valid = [bool(is_valid) for is_valid in array.is_valid().to_pylist()]
        binary = [place for place, child in enumerate(children) if _is_binary(child.type)]
        if len(binary) == 1 and all(_is_plain(child.type) for child in children if not _is_binary(child.type)):
            return self._media_structs(column, fields, children, binary[0], valid)
        columns = [self._values(child, column) for child in children]
        return [
            {name: values[place] for name, values in zip(fields, columns, strict=True)} if valid[place] else None
            for place in range(len(array))
        ]

    def _media_structs(
        self, column: str, fields: Sequence[str], children: Sequence[Array], binary: int, valid: Sequence[bool]
    ) -> Values:
        """Read structs of bytes and a name, as the datasets library writes pictures: `{bytes, path}`.

        Without bytes the value is the path, or the rest of the struct.
        """
        rest = {
            name: self._values(child, column)
            for place, (name, child) in enumerate(zip(fields, children, strict=True))
            if place != binary
        }
        names = next((rest[name] for name in _NAMES if name in rest), [None] * len(valid))
        texts = [name if isinstance(name, str) else None for name in names]
        media = self._left_out.media(column, list(zip(children[binary].to_pylist(), texts, strict=True)))
        others: Values
        if rest.keys() <= {"path"}:
            others = texts
        else:
            others = [{name: values[place] for name, values in rest.items()} for place in range(len(valid))]
        return [
            medium or other if is_valid else None for medium, other, is_valid in zip(media, others, valid, strict=True)
        ]

    def _lists(self, array: Array, column: str) -> Values:
        if _has_numbers(array.type):
            short = np.flatnonzero(_leaf_counts(array) <= MAX_NUMBERS)
            if len(short) < len(array):
                self._left_out.add(column, LONG_LISTS, len(array) - len(short))
                values: Values = [None] * len(array)
                for place, value in zip(short, self._short_lists(array.take(short), column), strict=True):
                    values[place] = value
                return values
        return self._short_lists(array, column)

    def _short_lists(self, array: Array, column: str) -> Values:
        return _cut(self._values(_flatten(array), column), pc.list_value_length(array).to_pylist())

    def _maps(self, array: Array, column: str) -> Values:
        whole = cast("pa.MapArray[Any, Any]", array.take(np.arange(len(array))))  # offset 0
        ends = whole.offsets.to_pylist()
        valid = whole.is_valid().to_pylist()
        pairs = list(zip(self._values(whole.keys, column), self._values(whole.items, column), strict=True))
        return [
            {str(key): value for key, value in pairs[ends[place] : ends[place + 1]]} if valid[place] else None
            for place in range(len(array))
        ]


def _cut(flat: Values, lengths: Sequence[int | None]) -> Values:
    start = 0
    values: Values = []
    for length in lengths:
        values.append(None if length is None else flat[start : start + length])
        start += length or 0
    return values


def _field_names(kind: pa.DataType) -> list[str]:
    names: list[str] = []
    for place in range(kind.num_fields):
        name = kind.field(place).name
        repeated = names.count(name)
        names.append(f"{name} ({repeated + 1})" if repeated else name)
    return names


def _flatten(array: Array) -> Array:
    return cast("Array", cast("Any", array).flatten())


def _leaf_counts(array: Array) -> NDArray[np.int64]:
    """Number of innermost values of each nested list; 0 for null."""
    lengths = np.array([length or 0 for length in pc.list_value_length(array).to_pylist()], dtype=np.int64)
    if not _is_list(array.type.value_type):
        return lengths
    before = np.concatenate([[0], np.cumsum(_leaf_counts(_flatten(array)))])
    ends = np.cumsum(lengths)
    return np.asarray(before[ends] - before[ends - lengths], dtype=np.int64)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pt.is_list(kind)
        or pt.is_large_list(kind)
        or pt.is_fixed_size_list(kind)
        or pt.is_list_view(kind)
        or pt.is_large_list_view(kind)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind) or pt.is_binary_view(kind)


def _has_numbers(kind: pa.DataType) -> bool:
    while _is_list(kind):
        kind = cast("Any", kind).value_type
    return pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or pt.is_boolean(kind)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a field beside the bytes of a picture is a name or a number, such as its width."""
    if pt.is_dictionary(kind):
        kind = cast("Any", kind).value_type
    return (
        pt.is_string(kind)
        or pt.is_large_string(kind)
        or pt.is_string_view(kind)
        or pt.is_null(kind)
        or pt.is_integer(kind)
        or pt.is_floating(kind)
    )
