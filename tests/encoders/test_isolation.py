"""A bad input fails alone; an encoder that fails on every input stops the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors
from firstsight.encoders.isolation import as_vectors, try_images, try_texts
from firstsight.errors import (
    BrokenEncoderError,
    EncoderError,
    EncoderMismatchError,
    InputError,
    MediaError,
    OptionalDependencyError,
)

TITLES = [f"title {n}" for n in range(13)]


class FailingStarter:
    """The real starter encoder; a hook may fail its calls, and batch sizes are recorded."""

    def __init__(self, encoder: Encoder, hook: Callable[[Sequence[object]], None]) -> None:
        self._encoder = encoder
        self._hook = hook
        self.calls: list[int] = []

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        self.calls.append(len(images))
        self._hook(images)
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(len(texts))
        self._hook(texts)
        return self._encoder.encode_texts(texts)


def fails_on(*bad: object, error: BaseException | None = None) -> Callable[[Sequence[object]], None]:
    def hook(inputs: Sequence[object]) -> None:
        if any(value is wrong or (isinstance(wrong, str) and value == wrong) for value in inputs for wrong in bad):
            raise error or ValueError("cannot be tokenised")

    return hook


def test_a_batch_without_failures_takes_one_call_and_keeps_its_vectors(starter: Encoder) -> None:
    encoder = FailingStarter(starter, lambda inputs: None)
    outcomes = try_texts(encoder, TITLES)
    np.testing.assert_array_equal(as_vectors(outcomes), starter.encode_texts(TITLES))
    assert encoder.calls == [13]
    assert try_texts(encoder, []) == try_images(encoder, []) == []


@pytest.mark.parametrize("bad", [[0], [12], [3, 4], [0, 6, 12], list(range(12))])
def test_failing_titles_are_found_and_the_others_keep_their_vectors(starter: Encoder, bad: list[int]) -> None:
    encoder = FailingStarter(starter, fails_on(*(TITLES[n] for n in bad)))
    outcomes = try_texts(encoder, TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == bad
    expected = starter.encode_texts(TITLES)
    for n, outcome in enumerate(outcomes):
        if isinstance(outcome, MediaError):
            assert (outcome.reason, str(outcome)) == (
                "crashed",
                "the encoder failed on it (ValueError: cannot be tokenised)",
            )
        else:
            np.testing.assert_allclose(outcome, expected[n], atol=1e-6)


def test_one_bad_input_takes_two_calls_per_halving(starter: Encoder) -> None:
    encoder = FailingStarter(starter, fails_on("title 5"))
    try_texts(encoder, [f"title {n}" for n in range(128)])
    assert len(encoder.calls) <= 1 + 2 * 7 + 1  # plus one call for the plain text


def test_a_failing_picture_is_found(starter: Encoder) -> None:
    pictures = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    outcomes = try_images(FailingStarter(starter, fails_on(pictures[1], error=EncoderError("no such shape"))), pictures)
    assert [isinstance(outcome, MediaError) for outcome in outcomes] == [False, True, False]
    assert str(outcomes[1]) == "the encoder failed on it (no such shape)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 6.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
    ],
    ids=["python", "cuda", "torch", "openvino"],
)
def test_a_batch_too_large_for_memory_is_halved_and_a_single_large_picture_gets_an_error(
    starter: Encoder, error: Exception
) -> None:
    large, small = Image.new("RGB", (300, 300)), [Image.new("RGB", (30, 30), (n, 0, 0)) for n in range(7)]

    def hook(inputs: Sequence[object]) -> None:
        if len(inputs) > 2 or large in inputs:
            raise error

    assert all(isinstance(outcome, np.ndarray) for outcome in try_images(FailingStarter(starter, hook), small))
    outcomes = try_images(FailingStarter(starter, hook), [*small, large])
    assert [isinstance(outcome, MediaError) for outcome in outcomes] == [False] * 7 + [True]
    assert isinstance(outcomes[-1], MediaError)
    assert outcomes[-1].reason == "too_large"
    assert "ran out of memory on it" in str(outcomes[-1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_input_with_a_non_finite_vector_fails_alone(starter: Encoder, value: float) -> None:
    class Spoiled(FailingStarter):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            vectors = super().encode_texts(texts)
            vectors[[n for n, text in enumerate(texts) if text == "title 3"], 7] = value
            return vectors

    outcomes = try_texts(Spoiled(starter, lambda inputs: None), TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [3]
    assert isinstance(outcomes[3], MediaError)
    assert (outcomes[3].reason, str(outcomes[3])) == ("corrupt", "the encoder gave no finite vector for it")


def test_an_input_that_changes_the_shape_of_the_array_fails_alone(starter: Encoder) -> None:
    class Short(FailingStarter):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            return super().encode_texts([text for text in texts if text != "title 9"])

    outcomes = try_texts(Short(starter, lambda inputs: None), TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [9]
    assert str(outcomes[9]) == "the encoder gave an array of shape (0, 384), not (1, 384)"


@pytest.mark.parametrize("inputs", [["title 1"], TITLES], ids=["one", "several"])
@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device lost"), OSError("disk"), EncoderError("broken")])
def test_an_encoder_that_fails_on_every_input_gets_one_error_after_a_few_calls(
    starter: Encoder, error: Exception, inputs: list[str]
) -> None:
    def hook(inputs: Sequence[object]) -> None:
        raise error

    encoder = FailingStarter(starter, hook)
    with pytest.raises(BrokenEncoderError, match=f"starter fails on every input, the text 'a' too: .*{error}"):
        try_texts(encoder, inputs)
    assert len(encoder.calls) <= 6  # 13, 7, 4, 2, 1 and the plain text


def test_an_encoder_without_any_finite_vector_is_broken(starter: Encoder) -> None:
    class Nothing(FailingStarter):
        def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
            return super().encode_images(images) * np.float32(np.nan)

    with pytest.raises(BrokenEncoderError, match="a plain grey picture too: the encoder gave no finite vector"):
        try_images(Nothing(starter, lambda inputs: None), [Image.new("RGB", (9, 9))] * 3)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), EncoderMismatchError("another"), OptionalDependencyError("install it")]
)
def test_errors_that_no_input_causes_are_raised_at_once(starter: Encoder, error: BaseException) -> None:
    def hook(inputs: Sequence[object]) -> None:
        raise error

    encoder = FailingStarter(starter, hook)
    with pytest.raises(type(error)):
        try_texts(encoder, TITLES)
    assert encoder.calls == [13]


def test_a_text_with_a_panic_in_the_tokenisers_rust_code_fails_alone(starter: Encoder) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})  # as PyO3 makes it
    encoder = FailingStarter(starter, fails_on("title 5", error=panic("index out of range")))
    outcomes = try_texts(encoder, TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [5]
    assert str(outcomes[5]) == "the encoder failed on it (PanicException: index out of range)"


def test_batches_are_not_halved_if_the_encoder_names_the_failing_inputs(starter: Encoder) -> None:
    def hook(inputs: Sequence[object]) -> None:
        bad = [(n, MediaError("crashed", "no")) for n, text in enumerate(inputs) if text in ("title 2", "title 11")]
        if bad:
            raise InputError(bad)

    encoder = FailingStarter(starter, hook)
    outcomes = try_texts(encoder, TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [2, 11]
    assert encoder.calls == [13, 11]
    with pytest.raises(InputError, match=r"input 2: no \(and 1 more\)") as raised:
        as_vectors(outcomes)
    assert [place for place, _ in raised.value.errors] == [2, 11]
