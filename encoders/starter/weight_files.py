"""Arrays of the `starter` encoder in safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from firstsight.errors import EncoderError

Weights = dict[str, NDArray[Any]]


def read_weights(path: Path, noun: str = "") -> Weights:
    """Read the arrays of a safetensors file.

    Args:
        path: the file.
        noun: words before the path in the error, such as "the starter bridge ".

    Raises:
        EncoderError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise EncoderError(f"{noun}{path} cannot be read ({error}): install firstsight again") from error


def require_shapes(weights: Weights, shapes: Mapping[str, tuple[int, ...]], needs: str) -> None:
    """Check that arrays are there in these shapes.

    Args:
        weights: the arrays by name.
        shapes: the shape of each required array.
        needs: subject and verb of the error, such as "the visual part needs".

    Raises:
        EncoderError: an array is missing or has another shape.
    """
    for name, shape in shapes.items():
        found = weights[name].shape if name in weights else None
        if found != shape:
            raise EncoderError(
                f"{needs} {name} of shape {shape}, not {found}: install firstsight again, or write the model again "
                "with firstsight tune"
            )
