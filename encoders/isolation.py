"""Encoding that costs an input the encoder fails on, and no other.

A batch that fails is halved until the inputs that fail alone are found: one that the encoder raises on, runs out of
memory on, or gives no finite vector for. Before the first input of a batch is blamed while nothing of the batch was
encoded, the encoder is tried on a plain input. Where it fails on that too, the encoder is what is broken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import numpy as np
from PIL import Image

from firstsight.encoders.base import Encoder, ImageInput, Vector, Vectors
from firstsight.errors import (
    BrokenEncoderError,
    EncoderError,
    FirstsightError,
    InputError,
    MediaError,
    OptionalDependencyError,
    first_line,
)

__all__ = ["Outcome", "as_vectors", "try_images", "try_texts"]

log = logging.getLogger(__name__)

Outcome: TypeAlias = "Vector | MediaError"
"""The vector of an input, or why the encoder gives none."""

T = TypeVar("T")

_PLAIN_TEXT: Final = "a"
_PLAIN_SIDE: Final = 64
_MEMORY_WORDS: Final = ("out of memory", "allocate memory", "bad_alloc", "bad allocation", "failed to allocate")


def try_images(encoder: Encoder, images: Sequence[ImageInput]) -> list[Outcome]:
    """Encode pictures; one that the encoder fails on gives an error in the place of its vector.

    Returns:
        For each picture its vector, (dim,) float32, or a MediaError: "too_large" where it alone takes more memory than
        there is, "corrupt" where it has no finite vector, "crashed" where the encoder raises.

    Raises:
        BrokenEncoderError: the encoder fails on all of them, and on a plain grey picture too.
        FirstsightError: any other that the encoder raises, where it is neither about a medium nor about the encoder.
    """
    plain = Image.new("RGB", (_PLAIN_SIDE, _PLAIN_SIDE), "grey")
    return _BatchTrial[ImageInput](encoder, encoder.encode_images, plain, "a plain grey picture").run(images)


def try_texts(encoder: Encoder, texts: Sequence[str]) -> list[Outcome]:
    """As `try_images`, for texts; a plain text is the letter "a"."""
    return _BatchTrial[str](encoder, encoder.encode_texts, _PLAIN_TEXT, f"the text {_PLAIN_TEXT!r}").run(texts)


def as_vectors(outcomes: Sequence[Outcome]) -> Vectors:
    """The vectors of n >= 1 inputs, (n, dim).

    Raises:
        InputError: the encoder failed on some of them.
    """
    errors = [(place, outcome) for place, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)]
    if errors:
        raise InputError(errors)
    return np.stack([outcome for outcome in outcomes if not isinstance(outcome, MediaError)])


class _BatchTrial(Generic[T]):
    """One batch, and what is known of the encoder from it."""

    def __init__(self, encoder: Encoder, encode: Callable[[Sequence[T]], Vectors], plain: T, called: str) -> None:
        self._spec = encoder.spec
        self._encode = encode
        self._plain = plain
        self._called = called  # the plain input, in words
        self._works = False  # it has encoded an input since the batch began

    def run(self, inputs: Sequence[T]) -> list[Outcome]:
        """The outcome of each input, in order."""
        if not inputs:
            return []
        try:
            outcomes = self._attempt(inputs)
        except InputError as error:  # from an encoder that has already found them
            self._works = True
            return self._run_without(inputs, dict(error.errors))
        failed = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)]
        self._works = self._works or len(failed) < len(inputs)
        if not failed:
            return outcomes
        if len(inputs) == 1:
            self._require_working()
            return outcomes
        middle = (len(failed) + 1) // 2
        for half in (failed[:middle], failed[middle:]):
            for place, outcome in zip(half, self.run([inputs[place] for place in half]), strict=True):
                outcomes[place] = outcome
        return outcomes

    def _run_without(self, inputs: Sequence[T], culprits: dict[int, MediaError]) -> list[Outcome]:
        others = iter(self.run([one for place, one in enumerate(inputs) if place not in culprits]))
        return [culprits[place] if place in culprits else next(others) for place in range(len(inputs))]

    def _attempt(self, inputs: Sequence[T]) -> list[Outcome]:
        """The outcomes of one call; where it raises, that error for all of them."""
        expected = (len(inputs), self._spec.dim)
        try:
            vectors = np.asarray(self._encode(inputs), dtype=np.float32)
        except (BrokenEncoderError, OptionalDependencyError, InputError):
            raise
        except FirstsightError as error:
            if not isinstance(error, MediaError | EncoderError):  # such as a deadline: no fault of an input
                raise
            return [_error_of_input(error)] * len(inputs)
        except BaseException as error:  # whatever a library raises on an input it was not made for
            if not isinstance(error, Exception) and not _is_panic(error):
                raise
            log.debug("%s fails on %d inputs", self._spec.name, len(inputs), exc_info=True)
            # kept as a message alone: its traceback would hold the batch's memory while the halves are tried
            return [_error_of_input(error)] * len(inputs)
        if vectors.shape != expected:
            shapes = f"of shape {vectors.shape}, not {expected}"
            return [MediaError("corrupt", f"the encoder gave an array {shapes}")] * len(inputs)
        no_vector = MediaError("corrupt", "the encoder gave no finite vector for it")
        return [vector if np.isfinite(vector).all() else no_vector for vector in vectors]

    def _require_working(self) -> None:
        if self._works:
            return
        try:
            (outcome,) = self._attempt([self._plain])
        except InputError as error:
            ((_, outcome),) = error.errors
        if isinstance(outcome, MediaError):
            raise BrokenEncoderError(
                f"{self._spec.name} fails on every input, {self._called} too: {outcome}; what was written before is "
                f"safe. See that its device, its memory and its files are there (firstsight models check "
                f"{self._spec.name} PICTURES_FOLDER), then run again"
            )
        self._works = True


def _is_panic(error: BaseException) -> bool:
    """Whether Rust code has panicked, such as a tokeniser's: PyO3 raises that past `Exception`."""
    return type(error).__name__ == "PanicException"


def _error_of_input(error: BaseException) -> MediaError:
    if isinstance(error, MediaError):
        return MediaError(error.reason, str(error))
    if _ran_out_of_memory(error):
        return MediaError("too_large", f"the encoder ran out of memory on it ({first_line(error)})")
    return MediaError("crashed", f"the encoder failed on it ({_kind(error)}{first_line(error)})")


def _ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out: Python's, torch's on any device, OpenVINO's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)


def _kind(error: BaseException) -> str:
    """The name of an error's class before its message, where the message does not say it already."""
    name = type(error).__name__
    return "" if isinstance(error, EncoderError) or first_line(error) == name else f"{name}: "
