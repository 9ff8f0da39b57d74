"""Functions that look at a decoded picture in the decoding child and return plain values, such as its colours.

The caller names them as `module:function`, so this package imports none of them. A function gets the upright RGB
picture and a `PictureSource`, and returns a value that `json.dumps` accepts, or None if it cannot tell:

    def measure(picture: Image.Image, source: PictureSource) -> JsonValue | None
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

PictureKind = Literal["image", "frame"]

F = TypeVar("F", bound=Callable[..., object])

MAX_FACT_BYTES: Final = 64 * 2**10
"""Length of the JSON of one fact of one picture; a longer one counts as an error of the function."""


MAX_ERROR_CHARACTERS: Final = 300
"""Characters of the error of a function."""


@dataclass(frozen=True)
class PictureSource:
    """Properties of a picture besides its pixels, for a function."""

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


@dataclass(frozen=True)
class FunctionOptions:
    """Needs of a function of a package, set by `picture_fact`."""

    version: str = "1"  # a change makes stored facts outdated
    min_side: int | None = None  # shorter side of the picture that it needs, in pixels; None: every pixel
    parts: tuple[PictureKind, ...] = ("image",)


_OPTIONS: Final = "__firstsight_picture_fact__"


def picture_fact(
    *, version: str = "1", min_side: int | None = None, parts: Sequence[PictureKind] = ("image",)
) -> Callable[[F], F]:
    """Decorate a function for facts with what it needs; the function itself does not change.

    Args:
        version: of its results; a change makes stored facts outdated.
        min_side: shorter side of the picture that it needs, in pixels; None for every pixel.
        parts: "image" for pictures, "frame" for frames of videos.
    """

    def decorate(function: F) -> F:
        setattr(function, _OPTIONS, FunctionOptions(version, min_side, tuple(parts)))
        return function

    return decorate


def options_of(function: object) -> FunctionOptions:
    """What a function needs; the defaults without the decorator."""
    options = getattr(function, _OPTIONS, None)
    return options if isinstance(options, FunctionOptions) else FunctionOptions()


@dataclass(frozen=True)
class FoundFacts:
    """Values and errors of the functions for one picture, by the names of the facts."""

    values: Mapping[str, JsonValue] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)  # one line each
    memory_bytes: int = 0  # estimated

    @classmethod
    def failed(cls, facts: Sequence[PictureFact], error: str) -> FoundFacts:
        """The same error for all facts."""
        return cls(errors=dict.fromkeys((fact.name for fact in facts), error))


_MEMORY_PER_BYTE: Final = 4
"""Bytes of Python's objects for a byte of JSON."""


def read_found(answer: object, names: Collection[str], length: int) -> FoundFacts:
    """Read what a decoding child has found in one picture.

    Args:
        answer: from JSON: name -> {"value": …} or {"error": …}.
        names: of the facts that were requested; others are ignored.
        length: of the answer, in bytes.

    Raises:
        ValueError: the answer has another form.
    """
    if not isinstance(answer, dict):
        raise ValueError("the facts of a picture are no JSON object")
    values, errors = {}, {}
    for name in names:
        found = answer.get(name)
        if isinstance(found, dict) and "value" in found:
            values[name] = found["value"]
        elif isinstance(found, dict) and isinstance(found.get("error"), str):
            errors[name] = found["error"][:MAX_ERROR_CHARACTERS]
        else:
            raise ValueError(f"the fact {name} is missing in an answer")
    return FoundFacts(values, errors, _MEMORY_PER_BYTE * length)
