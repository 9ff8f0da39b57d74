"""Conversion of values in Python rows to plain ones: no numpy, pandas or Pillow types remain."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import numpy as np
from PIL import Image

from firstsight.errors import MediaError
from firstsight.indexer.formats.arrow.left_out import LONG_LISTS, MAX_NUMBERS, LeftOut
from firstsight.media.embedded_medium import EmbeddedMedium
from firstsight.media.pictures import open_picture

MAX_DEPTH: Final = 20
"""Levels of nested lists and dicts that are read."""

_TOO_DEEP: Final = f"values nested more than {MAX_DEPTH} levels deep are left out"


def plain_value(value: object, column: str, left_out: LeftOut, depth: int = 0) -> Any:
    """Convert a value of a row.

    Bytes, Pillow pictures and arrays of pixels become `EmbeddedMedium`, paths become texts, missing values of any
    library become None, and durations become seconds.

    Args:
        column: name of the column, for notes.
        left_out: counts values that cannot be used.
    """
    if depth > MAX_DEPTH:
        left_out.add(column, _TOO_DEEP)
        return None
    if value is None or isinstance(value, bool | str | EmbeddedMedium):
        return str(value) if isinstance(value, str) and type(value) is not str else value
    if isinstance(value, Enum):
        return plain_value(value.value, column, left_out, depth + 1)
    if isinstance(value, int | Decimal | time):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return left_out.media(column, [(bytes(value), None)])[0]
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Image.Image):
        return _picture(value, column, left_out)
    if isinstance(value, Mapping | np.ndarray | list | tuple | set | frozenset):
        return _container(value, column, left_out, depth)
    if _is_missing(value):
        return None
    if isinstance(value, date):  # includes datetime and pandas' Timestamp
        to_python = getattr(value, "to_pydatetime", None)
        return value if to_python is None else to_python(warn=False)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, np.generic):
        return _numpy_scalar(value, column, left_out, depth)
    if hasattr(value, "__array__"):  # a tensor, or a Series
        return _array(np.asarray(value), column, left_out, depth)
    if type(value).__str__ is not object.__str__:  # such as a UUID, an IP address or a URL
        return str(value)
    left_out.add(column, f"values of type {type(value).__name__} are left out")
    return None


def _container(
    value: Mapping[Any, Any] | np.ndarray[Any, Any] | Collection[Any], column: str, left_out: LeftOut, depth: int
) -> Any:
    if isinstance(value, Mapping):
        return _mapping(value, column, left_out, depth)
    if isinstance(value, np.ndarray):
        return _array(value, column, left_out, depth)
    entries = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    if len(entries) > MAX_NUMBERS and all(isinstance(entry, int | float | np.number) for entry in entries):
        left_out.add(column, LONG_LISTS)
        return None
    return [plain_value(entry, column, left_out, depth + 1) for entry in entries]


def _mapping(value: Mapping[Any, Any], column: str, left_out: LeftOut, depth: int) -> Any:
    """Convert a dict; the form of the datasets library, `{bytes, path}`, becomes a medium or a path."""
    data, name = value.get("bytes"), value.get("path")
    if "bytes" in value and value.keys() <= {"bytes", "path"}:
        path = os.fsdecode(name) if isinstance(name, str | os.PathLike) else None
        if isinstance(data, bytes | bytearray | memoryview) and len(data):
            return left_out.media(column, [(bytes(data), path)])[0]
        return path
    return {str(key): plain_value(entry, column, left_out, depth + 1) for key, entry in value.items()}


def _numpy_scalar(value: np.generic, column: str, left_out: LeftOut, depth: int) -> Any:
    if isinstance(value, np.datetime64):
        return plain_value(value.astype("datetime64[us]").item(), column, left_out, depth + 1)
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "us")) / 1e6
    return plain_value(value.item(), column, left_out, depth + 1)


def _array(value: np.ndarray[Any, Any], column: str, left_out: LeftOut, depth: int) -> Any:
    if value.dtype == np.uint8 and (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))):
        return _picture(value, column, left_out)
    if value.dtype.kind in "iufcb" and value.size > MAX_NUMBERS:
        left_out.add(column, LONG_LISTS)
        return None
    return plain_value(value.item() if value.ndim == 0 else list(value), column, left_out, depth + 1)


def _picture(value: Any, column: str, left_out: LeftOut) -> EmbeddedMedium | None:
    """Save a picture without loss, upright and on white, as the encoders see it; equal pixels give equal bytes."""
    try:
        buffer = io.BytesIO()
        open_picture(value).save(buffer, "PNG", compress_level=1)
    except MediaError as error:
        left_out.add(column, f"pictures that cannot be read are left out ({error})")
        return None
    name = getattr(value, "filename", "")
    return left_out.media(column, [(buffer.getvalue(), os.path.basename(name) if isinstance(name, str) else None)])[0]


def _is_missing(value: object) -> bool:
    """Whether a value is NaT, pandas' NA or a similar mark; they are unequal to themselves or have no truth value."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # ValueError: an array
        return type(value).__name__ == "NAType"
