"""Functions for facts of pictures, in the decoding child: imported by name, run on decoded pictures, values checked."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from PIL.Image import Image

from firstsight.media.picture_facts import (
    MAX_ERROR_CHARACTERS,
    MAX_FACT_BYTES,
    JsonValue,
    PictureKind,
    PictureSource,
)
from firstsight.media.pictures import shrink

_Function = Callable[[Image, PictureSource], JsonValue]
_KEPT_FUNCTIONS: Final = 256


class FactFunctions:
    """The functions of one request.

    Args:
        requests: from `PictureFact.to_request`.
        working: called after each function, so that the time limit starts again.
    """

    def __init__(self, requests: Sequence[Mapping[str, Any]], working: Callable[[], None]) -> None:
        self._requests = requests
        self._working = working

    def __bool__(self) -> bool:
        return bool(self._requests)

    @property
    def min_sides(self) -> list[int | None]:
        """The sizes that the functions need, without repetitions."""
        return list(dict.fromkeys(request["min_side"] for request in self._requests))

    def find(
        self, pictures: Mapping[int | None, Image], size: tuple[int, int], part: PictureKind
    ) -> dict[str, dict[str, JsonValue]]:
        """Run all functions on one picture.

        Args:
            pictures: by each of `min_sides`.
            size: of the upright picture before it was reduced, (width, height).
            part: what the picture is.

        Returns:
            For each fact {"value": …}, or {"error": …} if its function failed.
        """
        found: dict[str, dict[str, JsonValue]] = {}
        for request in self._requests:
            source = PictureSource(*size, part, request["options"])
            picture = pictures[request["min_side"]].copy()  # a function may change it
            try:
                found[request["name"]] = {"value": _checked(load_function(request["function"])(picture, source))}
            except Exception as error:  # of a function that is not ours
                found[request["name"]] = {"error": one_line(error)}
            self._working()
        return found

    def find_in_frame(self, picture: Image) -> dict[str, dict[str, JsonValue]]:
        """Run all functions on a frame that was not reduced."""
        return self.find({side: shrink(picture, side) for side in self.min_sides}, picture.size, "frame")


@lru_cache(maxsize=_KEPT_FUNCTIONS)
def load_function(address: str) -> _Function:
    """Import a function.

    Args:
        address: "module:function".

    Raises:
        ImportError, AttributeError, ValueError: there is no such function.
    """
    module, separator, name = address.partition(":")
    if not separator:
        raise ValueError(f"{address!r} is not module:function")
    function: object = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    return cast(_Function, function)


def one_line(error: BaseException) -> str:
    """Type and message of an error, in one short line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:MAX_ERROR_CHARACTERS] if message else type(error).__name__


def _checked(value: JsonValue) -> JsonValue:
    """Check that JSON can hold a value.

    Raises:
        TypeError, ValueError: it cannot, has a number that is not finite, or is longer than `MAX_FACT_BYTES`.
    """
    encoded = json.dumps(value, allow_nan=False)
    if len(encoded) > MAX_FACT_BYTES:
        raise ValueError(f"the value has {len(encoded):,} bytes as JSON, above the limit of {MAX_FACT_BYTES:,}")
    return value
