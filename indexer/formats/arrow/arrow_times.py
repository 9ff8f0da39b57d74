"""Conversion of Arrow's times to Python's, without an error for a whole batch."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.indexer.formats.arrow.left_out import FAR_TIMES, TIMES_OF_DAY, LeftOut

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S: Final = int((datetime.min.replace(tzinfo=UTC) - _EPOCH).total_seconds())
_LAST_S: Final = int((datetime.max.replace(tzinfo=UTC, microsecond=0) - _EPOCH).total_seconds())
_FIRST_DAY, _LAST_DAY = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
_DAY_US: Final = 24 * 3600 * 10**6


def timestamps(array: pa.Array[Any], column: str, left_out: LeftOut) -> list[Any]:
    """Convert timestamps, rounded to microseconds; those with a zone become UTC."""
    kind: Any = array.type
    values, valid = _integers(array)
    second = _PER_SECOND[kind.unit]
    within = (values >= _FIRST_S * second) & (values < (_LAST_S + 1) * second) if second < 10**9 else valid
    left_out.add(column, FAR_TIMES, int((valid & ~within).sum()))
    rounded = _to_microseconds(np.where(within, values, 0), second)
    return _typed(rounded, valid & within, pa.timestamp("us", None if kind.tz is None else "UTC"))


def dates(array: pa.Array[Any], column: str, left_out: LeftOut) -> list[Any]:
    """Convert dates."""
    values, valid = _integers(array)
    days = values // (_DAY_US // 1000) if array.type == pa.date64() else values
    within = (days >= _FIRST_DAY) & (days <= _LAST_DAY)
    left_out.add(column, FAR_TIMES, int((valid & ~within).sum()))
    return _typed(np.where(within, days, 0).astype(np.int32), valid & within, pa.date32())


def times_of_day(array: pa.Array[Any], column: str, left_out: LeftOut) -> list[Any]:
    """Convert times of day, rounded to microseconds."""
    kind: Any = array.type
    values, valid = _integers(array)
    rounded = _to_microseconds(values, _PER_SECOND[kind.unit])
    within = (rounded >= 0) & (rounded <= _DAY_US)
    left_out.add(column, TIMES_OF_DAY, int((valid & ~within).sum()))
    return _typed(np.clip(rounded, 0, _DAY_US - 1), valid & within, pa.time64("us"))


def durations(array: pa.Array[Any]) -> list[Any]:
    """Convert durations to seconds, so that filters can compare them."""
    kind: Any = array.type
    values, valid = _integers(array)
    return _typed(values / _PER_SECOND[kind.unit], valid, pa.float64())


def _integers(array: pa.Array[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    width = pa.int32() if array.type.bit_width == 32 else pa.int64()
    values = array.view(width).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.int64), valid


def _to_microseconds(values: NDArray[np.int64], second: int) -> NDArray[np.int64]:
    """Convert from a unit of `second` per second; halves of a microsecond are rounded up."""
    if second <= 10**6:
        return np.asarray(values * (10**6 // second), dtype=np.int64)
    return np.asarray(values // 1000 + (values % 1000 >= 500), dtype=np.int64)


def _typed(values: NDArray[Any], valid: NDArray[np.bool_], kind: pa.DataType) -> list[Any]:
    converted: list[Any] = pa.array(values, mask=~valid).cast(kind).to_pylist()
    return converted
