"""Read the vector of a search from a file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING

import typer

from firstsight.errors import first_line

if TYPE_CHECKING:
    from firstsight.vectors import VectorInput

MAX_BYTES = 2**20
"""Maximum size of the file; 4,096 numbers take about 100 kB as JSON."""

_NPY = b"\x93NUMPY"
"""First bytes of a .npy file."""

_NPY_ERRORS = (ValueError, EOFError, OverflowError, MemoryError, SyntaxError, TokenError, TypeError)
"""Errors of numpy.load for a file with any bytes: the header is a Python literal, and may claim any type and size."""


def read_vector(path: Path) -> VectorInput:
    """Read a vector from a .npy file or a JSON list of numbers; the first bytes tell which.

    Returns:
        The contents of the file; `Query` checks that they are a vector.

    Raises:
        BadParameter: the file cannot be read, is larger than MAX_BYTES, or is of another format.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refusal(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise _refusal(f"{path} has more than {MAX_BYTES >> 20} MiB; give a file with one vector")
    return _read_npy(content, path) if content.startswith(_NPY) else _read_json(content, path)


def _read_npy(content: bytes, path: Path) -> VectorInput:
    import numpy as np

    try:
        vector: VectorInput = np.load(io.BytesIO(content), allow_pickle=False)
    except _NPY_ERRORS as error:
        raise _refusal(f"{path} cannot be read as .npy ({first_line(error)}); write it with numpy.save") from None
    return vector


def _read_json(content: bytes, path: Path) -> VectorInput:
    try:
        vector = json.loads(content)
    except (ValueError, RecursionError):
        vector = None
    if not isinstance(vector, list):
        raise _refusal(f"{path} is neither a .npy file nor a JSON list of numbers; write it with numpy.save")
    return vector


def _refusal(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--vector")
