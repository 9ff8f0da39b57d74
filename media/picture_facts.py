"""Functions that look at a decoded picture in the decoding child and return plain values, such as its colours.

The caller names them as `module:function`, so this package imports none of them. A function gets the upright RGB
picture and a `PictureSource`, and returns a value that `json.dumps` accepts, or None if it cannot tell:

    def measure(picture: Image.Image, source: PictureSource) -> JsonValue | None
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

PictureKind = Literal["image", "frame"]

MAX_FACT_BYTES: Final = 64 * 2**10
"""Length of the JSON of one fact of one picture; a longer one counts as an error of the function."""


@dataclass(frozen=True)
class PictureSource:
    """What a function may know besides the pixels."""

    width: int  # of the upright picture before it was reduced, in pixels
    height: int
    part: PictureKind
    options: Mapping[str, JsonValue] = field(default_factory=dict)  # from `PictureFact.options`


@dataclass(frozen=True)
class PictureFact:
    """A function to run on decoded pictures, with what it needs."""

    name: str  # of the fact, lower-case letters, digits and _
    function: str  # "module:function"
    version: str  # a change makes stored facts outdated
    min_side: int | None = None  # shorter side of the picture that it needs, in pixels; None: every pixel
    parts: tuple[PictureKind, ...] = ("image",)
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    files_per_child: int | None = None  # files after which a child is replaced, for functions that leak memory

    def to_request(self) -> dict[str, Any]:
        """Return the function as plain values, for a request to a decoding child."""
        return {"name": self.name, "function": self.function, "options": dict(self.options), "min_side": self.min_side}
