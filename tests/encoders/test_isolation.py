"""An input that the encoder fails on costs itself; an encoder that fails on everything ends the work."""

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
    """The real starter behind a seam where calls may fail; counts them."""

    def __init__(self, encoder: Encoder, seam: Callable[[Sequence[object]], None]) -> None:
        self._encoder = encoder
        self._seam = seam
        self.calls: list[int] = []

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        self.calls.append(len(images))
        self._seam(images)
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(len(texts))
        self._seam(texts)
        return self._encoder.encode_texts(texts)


def fails_on(*bad: object, error: BaseException | None = None) -> Callable[[Sequence[object]], None]:
    def seam(inputs: Sequence[object]) -> None:
        if any(one is wrong or (isinstance(wrong, str) and one == wrong) for one in inputs for wrong in bad):
            raise error or ValueError("cannot be tokenised")

    return seam


def test_nothing_fails_in_one_call_and_the_vectors_are_the_encoders(starter: Encoder) -> None:
    encoder = FailingStarter(starter, lambda inputs: None)
    outcomes = try_texts(encoder, TITLES)
    np.testing.assert_array_equal(as_vectors(outcomes), starter.encode_texts(TITLES))
    assert encoder.calls == [13]
    assert try_texts(encoder, []) == try_images(encoder, []) == []


@pytest.mark.parametrize("bad", [[0], [12], [3, 4], [0, 6, 12], list(range(12))])
def test_titles_that_break_the_tokeniser_are_found_and_the_others_keep_their_vectors(
    starter: Encoder, bad: list[int]
) -> None:
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


def test_one_bad_input_takes_two_calls_a_halving(starter: Encoder) -> None:
    encoder = FailingStarter(starter, fails_on("title 5"))
    try_texts(encoder, [f"title {n}" for n in range(128)])
    assert len(encoder.calls) <= 1 + 2 * 7 + 1  # and one for the plain text


def test_a_picture_that_the_encoder_raises_on_is_found(starter: Encoder) -> None:
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
def test_a_batch_too_large_for_memory_is_halved_and_a_lone_picture_too_large_is_named(
    starter: Encoder, error: Exception
) -> None:
    large, small = Image.new("RGB", (300, 300)), [Image.new("RGB", (30, 30), (n, 0, 0)) for n in range(7)]

    def seam(inputs: Sequence[object]) -> None:
        if len(inputs) > 2 or large in inputs:
            raise error

    assert all(isinstance(outcome, np.ndarray) for outcome in try_images(FailingStarter(starter, seam), small))
    outcomes = try_images(FailingStarter(starter, seam), [*small, large])
    assert [isinstance(outcome, MediaError) for outcome in outcomes] == [False] * 7 + [True]
    assert isinstance(outcomes[-1], MediaError)
    assert outcomes[-1].reason == "too_large"
    assert "ran out of memory on it" in str(outcomes[-1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_costs_its_input(starter: Encoder, value: float) -> None:
    class Spoiled(FailingStarter):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            vectors = super().encode_texts(texts)
            vectors[[n for n, text in enumerate(texts) if text == "title 3"], 7] = value
            return vectors

    outcomes = try_texts(Spoiled(starter, lambda inputs: None), TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [3]
    assert isinstance(outcomes[3], MediaError)
    assert (outcomes[3].reason, str(outcomes[3])) == ("corrupt", "the encoder gave no finite vector for it")


def test_an_array_of_the_wrong_shape_costs_the_input_that_makes_it_so(starter: Encoder) -> None:
    class Short(FailingStarter):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            return super().encode_texts([text for text in texts if text != "title 9"])

    outcomes = try_texts(Short(starter, lambda inputs: None), TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [9]
    assert str(outcomes[9]) == "the encoder gave an array of shape (0, 384), not (1, 384)"


@pytest.mark.parametrize("inputs", [["title 1"], TITLES], ids=["one", "several"])
@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device lost"), OSError("disk"), EncoderError("broken")])
def test_an_encoder_that_fails_on_everything_is_one_error_after_a_few_calls(
    starter: Encoder, error: Exception, inputs: list[str]
) -> None:
    def seam(inputs: Sequence[object]) -> None:
        raise error

    encoder = FailingStarter(starter, seam)
    with pytest.raises(BrokenEncoderError, match=f"starter fails on every input, the text 'a' too: .*{error}"):
        try_texts(encoder, inputs)
    assert len(encoder.calls) <= 6  # 13, 7, 4, 2, 1 and the plain text


def test_an_encoder_whose_every_vector_is_not_finite_is_broken(starter: Encoder) -> None:
    class Nothing(FailingStarter):
        def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
            return super().encode_images(images) * np.float32(np.nan)

    with pytest.raises(BrokenEncoderError, match="a plain grey picture too: the encoder gave no finite vector"):
        try_images(Nothing(starter, lambda inputs: None), [Image.new("RGB", (9, 9))] * 3)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), EncoderMismatchError("another"), OptionalDependencyError("install it")]
)
def test_what_no_input_is_to_blame_for_goes_through_at_once(starter: Encoder, error: BaseException) -> None:
    def seam(inputs: Sequence[object]) -> None:
        raise error

    encoder = FailingStarter(starter, seam)
    with pytest.raises(type(error)):
        try_texts(encoder, TITLES)
    assert encoder.calls == [13]


def test_a_panic_in_a_tokenisers_rust_code_costs_its_text(starter: Encoder) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})  # as PyO3 makes it
    encoder = FailingStarter(starter, fails_on("title 5", error=panic("index out of range")))
    outcomes = try_texts(encoder, TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [5]
    assert str(outcomes[5]) == "the encoder failed on it (PanicException: index out of range)"


def test_an_encoder_that_names_its_own_culprits_is_not_halved(starter: Encoder) -> None:
    def seam(inputs: Sequence[object]) -> None:
        bad = [(n, MediaError("crashed", "no")) for n, text in enumerate(inputs) if text in ("title 2", "title 11")]
        if bad:
            raise InputError(bad)

    encoder = FailingStarter(starter, seam)
    outcomes = try_texts(encoder, TITLES)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, MediaError)] == [2, 11]
    assert encoder.calls == [13, 11]
    with pytest.raises(InputError, match=r"input 2: no \(and 1 more\)") as raised:
        as_vectors(outcomes)
    assert [place for place, _ in raised.value.errors] == [2, 11]
