"""Vectors of a query: their checks, and their conversion to plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError, first_line
from firstsight.vectors import EncoderSpec, VectorInput

_ROUNDING = 1e-12
"""A length that differs from 1 by at most this is not changed, so that a plain vector converts to itself."""


def plain_vectors(vectors: object) -> tuple[tuple[float, ...], ...]:
    """Scale the vectors of a query to unit length, as plain numbers.

    Args:
        vectors: a list of arrays, tensors in memory or sequences of numbers, each of one dimension.

    Raises:
        QueryError: `vectors` is no list of vectors; or a vector is empty or zero, or is a matrix, or has a value that
            is no finite number.
    """
    is_list = isinstance(vectors, Sequence) and not isinstance(vectors, str | bytes)
    if not is_list or any(isinstance(vector, Real) for vector in vectors):  # type: ignore[attr-defined]  # `is_list`
        raise QueryError(
            f"vectors must be a list of vectors, not {_describe(vectors)}; give [vector] for a single vector, and "
            "list(matrix) for the rows of a matrix"
        )
    assert isinstance(vectors, Sequence)
    names = ["the vector"] if len(vectors) == 1 else [f"vectors[{n}]" for n in range(len(vectors))]
    return tuple(tuple(_unit(vector, name).tolist()) for vector, name in zip(vectors, names, strict=True))


def check_dimensions(vectors: Sequence[VectorInput], spec: EncoderSpec) -> None:
    """Refuse a vector of another dimension than those of the database.

    Args:
        vectors: the vectors of a query.
        spec: the encoder of the database.

    Raises:
        QueryError: a vector has another dimension.
    """
    for vector in vectors:
        if len(vector) != spec.dim:
            raise QueryError(
                f"a vector of the query has dimension {len(vector)}, but those of the database have {spec.dim} "
                f"(encoder {spec.name}); give a vector that this encoder made"
            )


def _unit(vector: object, name: str) -> NDArray[np.float64]:
    """Scale a vector to unit length."""
    values = _as_array(vector, name)
    largest = float(np.abs(values).max())
    if largest == 0:
        raise QueryError(f"{name} consists of zeros, so it has no direction; leave it out")
    if largest <= 1 and abs(float(np.linalg.norm(values)) - 1) <= _ROUNDING:
        return values
    scaled = values / largest  # squares of very large and very small numbers leave the range of floats
    return np.asarray(scaled / np.linalg.norm(scaled), dtype=np.float64)


def _as_array(vector: object, name: str) -> NDArray[np.float64]:
    """Convert a vector to an array of one dimension with finite numbers."""
    is_list = isinstance(vector, Sequence) and not isinstance(vector, str | bytes)
    if not is_list and not hasattr(vector, "__array__"):
        raise QueryError(f"{name} must be an array or a list of numbers, not {_describe(vector)}")
    try:
        values = np.asarray(vector)
    except (TypeError, ValueError, RuntimeError) as error:  # nested lists of unequal lengths; a tensor of a GPU
        raise QueryError(f"{name} cannot be converted to an array of numbers: {first_line(error)}") from None
    if values.ndim != 1:
        shape = " x ".join(str(side) for side in values.shape) or "a single number"
        raise QueryError(f"{name} must have one dimension, not {shape}; give one row, or each row as a vector")
    if not values.size:
        raise QueryError(f"{name} is empty; give the numbers of a vector")
    if values.dtype.kind not in "fiu":
        raise QueryError(f"{name} must hold numbers, not {_describe(values.tolist()[0])}")
    numbers = values.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise QueryError(f"{name} has {numbers[wrong[0]]} at place {wrong[0]}; give finite numbers")
    return numbers


def _describe(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"an array of shape {tuple(shape)}"
    return repr(value)[:80]
