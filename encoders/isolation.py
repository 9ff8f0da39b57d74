"""Encode batches so that a bad input fails alone.

A failed batch is halved until the failing inputs are found. An input fails if the encoder raises on it, runs out of
memory on it, or returns a vector that is not finite. If no input of a batch succeeds, the encoder is first tried on a
plain input. If that fails too, the encoder is broken, not the input.
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
"""The vector of an input, or the reason for its failure."""

T = TypeVar("T")

_PLAIN_TEXT: Final = "a"
_PLAIN_SIDE: Final = 64
_MEMORY_WORDS: Final = ("out of memory", "allocate memory", "bad_alloc", "bad allocation", "failed to allocate")


def try_images(encoder: Encoder, images: Sequence[ImageInput]) -> list[Outcome]:
    """Encode pictures; a picture that fails gets an error instead of a vector.

    Returns:
        For each picture its vector, (dim,) float32, or a MediaError with one of these reasons: "too_large" if the
        picture alone exhausts the memory, "corrupt" if its vector is not finite, "crashed" if the encoder raises.

    Raises:
        BrokenEncoderError: if the encoder fails on every picture, and on a plain grey picture too.
        FirstsightError: if the encoder raises an error that concerns neither a medium nor the encoder.
    """
    plain = Image.new("RGB", (_PLAIN_SIDE, _PLAIN_SIDE), "grey")
    return _BatchTrial[ImageInput](encoder, encoder.encode_images, plain, "a plain grey picture").run(images)


def try_texts(encoder: Encoder, texts: Sequence[str]) -> list[Outcome]:
    """Encode texts; a text that fails gets an error instead of a vector.

    Returns:
        For each text its vector, (dim,) float32, or a MediaError with a reason as in `try_images`.

    Raises:
        BrokenEncoderError: if the encoder fails on every text, and on the text "a" too.
        FirstsightError: if the encoder raises an error that concerns neither a medium nor the encoder.
    """
    return _BatchTrial[str](encoder, encoder.encode_texts, _PLAIN_TEXT, f"the text {_PLAIN_TEXT!r}").run(texts)


def as_vectors(outcomes: Sequence[Outcome]) -> Vectors:
    """Stack the vectors of n >= 1 inputs.

    Returns:
        (n, dim) float32, unit rows.

    Raises:
        InputError: if the encoder failed on some of the inputs.
    """
    errors = [(place, outcome) for place, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)]
    if errors:
        raise InputError(errors)
    return np.stack([outcome for outcome in outcomes if not isinstance(outcome, MediaError)])


class _BatchTrial(Generic[T]):
    """One batch, and whether the encoder has encoded any of its inputs."""

    def __init__(self, encoder: Encoder, encode: Callable[[Sequence[T]], Vectors], plain: T, plain_name: str) -> None:
        self._spec = encoder.spec
        self._encode = encode
        self._plain = plain
        self._plain_name = plain_name  # for messages
        self._works = False  # whether the encoder has encoded an input of this batch

    def run(self, inputs: Sequence[T]) -> list[Outcome]:
        """Return the outcome of each input, in order."""
        if not inputs:
            return []
        try:
            outcomes = self._attempt(inputs)
        except InputError as error:  # from an encoder that names its failing inputs itself
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
        others = iter(self.run([value for place, value in enumerate(inputs) if place not in culprits]))
        return [culprits[place] if place in culprits else next(others) for place in range(len(inputs))]

    def _attempt(self, inputs: Sequence[T]) -> list[Outcome]:
        """Encode inputs in one call; if it raises, every input gets that error."""
        expected = (len(inputs), self._spec.dim)
        try:
            vectors = np.asarray(self._encode(inputs), dtype=np.float32)
        except (BrokenEncoderError, OptionalDependencyError, InputError):
            raise
        except FirstsightError as error:
            if not isinstance(error, MediaError | EncoderError):  # such as a timeout: no input caused it
                raise
            return [_error_of_input(error)] * len(inputs)
        except BaseException as error:  # libraries raise anything on unexpected inputs
            if not isinstance(error, Exception) and not _is_panic(error):
                raise
            log.debug("%s fails on %d inputs", self._spec.name, len(inputs), exc_info=True)
            # the message only: the traceback would keep the batch in memory during the next tries
            return [_error_of_input(error)] * len(inputs)
        if vectors.shape != expected:
            message = f"the encoder gave an array of shape {vectors.shape}, not {expected}"
            return [MediaError("corrupt", message)] * len(inputs)
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
                f"{self._spec.name} fails on every input, {self._plain_name} too: {outcome}. All earlier rows are "
                "saved. Check its device, memory and files, then run again: firstsight models check "
                f"{self._spec.name} --pictures FOLDER"
            )
        self._works = True


def _is_panic(error: BaseException) -> bool:
    """Return whether Rust code, such as a tokeniser's, has panicked: PyO3's error is not an `Exception`."""
    return type(error).__name__ == "PanicException"


def _error_of_input(error: BaseException) -> MediaError:
    if isinstance(error, MediaError):
        return MediaError(error.reason, str(error))
    if _ran_out_of_memory(error):
        return MediaError("too_large", f"the encoder ran out of memory on it ({first_line(error)})")
    return MediaError("crashed", f"the encoder failed on it ({_kind(error)}{first_line(error)})")


def _ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, of torch on any device, or of OpenVINO reports exhausted memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)


def _kind(error: BaseException) -> str:
    """Return the prefix for a message: the error's class, or nothing if the message contains it."""
    name = type(error).__name__
    return "" if isinstance(error, EncoderError) or first_line(error) == name else f"{name}: "
