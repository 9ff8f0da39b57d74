"""Callers share forward passes; each gets its own vectors in time, or a clear error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors
from firstsight.errors import BrokenEncoderError, EncoderError, InputError, MediaError
from firstsight.service.batching.batch_metrics import DropReason
from firstsight.service.batching.batcher import Batcher, Lane
from firstsight.service.batching.batching_encoder import BatchingEncoder, BatchSettings, time_limit
from firstsight.service.batching.queue_errors import DeadlineError, QueueFullError, StoppedError
from firstsight.service.batching.text_cache import TextCache

PICTURES = [
    path for path in sorted((Path(__file__).parents[3] / "sample_media").rglob("*.jpg")) if "broken" not in path.name
][:12]
SOON_S = 20.0
"""Far more than anything here takes; a test that reaches it has failed."""


class Recorder:
    """Metrics kept as lists."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int, int]] = []
        self.waits: list[float] = []
        self.depths: list[int] = []
        self.drops: list[DropReason] = []
        self.hits = self.misses = 0

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None:
        self.batches.append((lane, rows, requests))

    def waited(self, lane: str, seconds: float) -> None:
        self.waits.append(seconds)

    def depth(self, lane: str, rows: int) -> None:
        self.depths.append(rows)

    def dropped(self, lane: str, reason: DropReason) -> None:
        self.drops.append(reason)

    def cached(self, hits: int, misses: int) -> None:
        self.hits += hits
        self.misses += misses


class GatedEncoder:
    """The real encoder behind a door, so that a test knows what waits while it is busy."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.busy = threading.Event()
        self.door = threading.Event()
        self.calls: list[list[str]] = []

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        self.busy.set()
        assert self.door.wait(SOON_S)
        if "poison" in texts:
            raise EncoderError("poison")
        return self._encoder.encode_texts(texts)


@pytest.fixture
def gate(starter: Encoder) -> Iterator[GatedEncoder]:
    gate = GatedEncoder(starter)
    yield gate
    gate.door.set()


def busy(gate: GatedEncoder, encoder: BatchingEncoder) -> Future[Vectors]:
    """Send a first text and wait until the encoder has it, so that all others queue."""
    first = encoder.submit_texts(["first"])
    assert gate.busy.wait(SOON_S)
    return first


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_texts_of_many_threads_share_passes_and_keep_their_vectors(gate: GatedEncoder, starter: Encoder) -> None:
    texts = [f"a {colour} shoe of size {size}" for colour in ("red", "green") for size in range(20)]
    with BatchingEncoder(gate) as encoder, ThreadPoolExecutor(len(texts)) as threads:
        first = busy(gate, encoder)
        answers = [threads.submit(encoder.encode_texts, [text]) for text in texts]
        until(lambda: encoder._batcher._queues["texts"].rows == len(texts))
        gate.door.set()
        vectors = np.concatenate([answer.result(SOON_S) for answer in answers])
        first.result(SOON_S)
    assert [len(call) for call in gate.calls] == [1, len(texts)]
    np.testing.assert_allclose(vectors, starter.encode_texts(texts), atol=1e-5)


@pytest.mark.slow
def test_pictures_of_many_threads_share_passes_and_keep_their_vectors(starter: Encoder) -> None:
    metrics = Recorder()
    with (
        BatchingEncoder(starter, BatchSettings(max_wait_s=0.02), metrics) as encoder,
        ThreadPoolExecutor(len(PICTURES)) as threads,
    ):
        answers = [threads.submit(encoder.encode_images, [picture]) for picture in PICTURES * 2]
        vectors = np.concatenate([answer.result(SOON_S) for answer in answers])
    assert sum(rows for _, rows, _ in metrics.batches) == len(answers)
    assert len(metrics.batches) < len(answers)
    np.testing.assert_allclose(vectors, starter.encode_images(PICTURES * 2), atol=1e-5)


def test_a_full_queue_refuses_with_the_time_to_come_back(gate: GatedEncoder) -> None:
    metrics = Recorder()
    with BatchingEncoder(gate, BatchSettings(text_queue=3), metrics) as encoder:
        busy(gate, encoder)
        waiting = encoder.submit_texts(["a", "b", "c"])
        with pytest.raises(QueueFullError, match="3 texts are waiting, and the limit is 3") as refused:
            encoder.submit_texts(["d"])
        assert 1 <= refused.value.retry_after_s <= 60
        gate.door.set()
        assert len(waiting.result(SOON_S)) == 3
    assert metrics.drops == ["full"]
    assert metrics.depths[-1] == 0


def test_cancelled_work_makes_room_and_never_reaches_the_encoder(gate: GatedEncoder) -> None:
    metrics = Recorder()
    with BatchingEncoder(gate, BatchSettings(text_queue=2), metrics) as encoder:
        busy(gate, encoder)
        assert encoder.submit_texts(["unwanted", "too"]).cancel()
        wanted = encoder.submit_texts(["wanted"])
        gate.door.set()
        wanted.result(SOON_S)
    assert gate.calls == [["first"], ["wanted"]]
    assert metrics.drops == ["cancelled"]


def test_a_caller_past_its_deadline_is_told_while_the_encoder_is_still_busy(gate: GatedEncoder) -> None:
    metrics = Recorder()
    with BatchingEncoder(gate, metrics=metrics) as encoder:
        busy(gate, encoder)
        with time_limit(0.05), pytest.raises(DeadlineError, match=r"within 0\.\d s"):
            encoder.encode_texts(["late"])
        with time_limit(0.05):
            unread = encoder.submit_texts(["late and nobody waits"])
        over = time.monotonic() + 0.05
        until(lambda: time.monotonic() > over)
        gate.door.set()
        with pytest.raises(DeadlineError, match="without an answer"):
            unread.result(SOON_S)
    assert gate.calls == [["first"]]
    assert sorted(metrics.drops) == ["cancelled", "deadline"]


def test_a_narrower_time_limit_around_holds() -> None:
    encoder = BatchingEncoder(Unit(), BatchSettings(timeout_s=50))
    assert 49 < encoder.remaining() <= 50
    with time_limit(5), time_limit(500):
        assert encoder.remaining() <= 5
    encoder.close()


def test_a_request_that_breaks_the_encoder_costs_itself_alone(gate: GatedEncoder) -> None:
    with BatchingEncoder(gate) as encoder:
        busy(gate, encoder)
        good, bad = encoder.submit_texts(["good"]), encoder.submit_texts(["fine", "poison"])
        gate.door.set()
        with pytest.raises(EncoderError, match="poison"):
            bad.result(SOON_S)
        assert good.result(SOON_S).shape == (1, 384)
        assert encoder.encode_texts(["afterwards"]).shape == (1, 384)


def test_a_request_with_bad_inputs_is_told_which_and_others_of_its_batch_get_their_vectors(
    gate: GatedEncoder, starter: Encoder
) -> None:
    with BatchingEncoder(gate, BatchSettings(text_batch=4)) as encoder:
        busy(gate, encoder)
        bad = encoder.submit_texts(["a", "poison", "b", "c", "d", "e", "poison"])  # in several batches
        others = [encoder.submit_texts([f"title {n}"]) for n in range(5)]
        gate.door.set()
        with pytest.raises(InputError, match="input 1: the encoder failed on it") as raised:
            bad.result(SOON_S)
        assert [place for place, _ in raised.value.errors] == [1, 6]
        for n, other in enumerate(others):
            np.testing.assert_allclose(other.result(SOON_S), starter.encode_texts([f"title {n}"]), atol=1e-5)
        with pytest.raises(InputError):  # and it is not taken for a vector the next time
            encoder.encode_texts(["poison"])


def test_an_encoder_that_fails_on_everything_is_told_to_every_request() -> None:
    class Broken(Unit):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            raise RuntimeError("device lost")

    with BatchingEncoder(Broken()) as encoder:
        for answer in [encoder.submit_texts([str(n)]) for n in range(4)]:
            with pytest.raises(BrokenEncoderError, match="device lost"):
                answer.result(SOON_S)


def test_a_short_request_overtakes_a_long_one(gate: GatedEncoder) -> None:
    with BatchingEncoder(gate, BatchSettings(text_batch=8)) as encoder:
        busy(gate, encoder)
        long = encoder.submit_texts([f"title {i}" for i in range(100)])
        short = encoder.submit_texts(["a search"])
        gate.door.set()
        wait([long, short], SOON_S)
    assert "a search" in gate.calls[1]
    assert [len(call) for call in gate.calls[1:13]] == [8] * 12  # and no batch is left half empty for it


def test_a_text_is_encoded_once_while_it_is_cached(gate: GatedEncoder) -> None:
    gate.door.set()
    metrics = Recorder()
    with BatchingEncoder(gate, metrics=metrics) as encoder:
        once = encoder.encode_texts(["boots", "boots"])
        np.testing.assert_array_equal(encoder.encode_texts(["boots"])[0], once[1])
    assert gate.calls == [["boots"]]
    assert (metrics.hits, metrics.misses) == (1, 2)


def test_the_cache_forgets_what_was_not_asked_for_longest() -> None:
    cache = TextCache(2)
    for text in ("a", "b"):
        cache.put(text, np.ones(3, np.float32))
    assert cache.get("a") is not None
    cache.put("c", np.ones(3, np.float32))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert len(cache) == 2


def test_closing_finishes_what_waits_and_refuses_what_comes(gate: GatedEncoder) -> None:
    encoder = BatchingEncoder(gate)
    busy(gate, encoder)
    waiting = encoder.submit_texts(["waiting"])
    closing = threading.Thread(target=encoder.close)
    closing.start()
    until(lambda: encoder._batcher._stopping)
    with pytest.raises(StoppedError):
        encoder.submit_texts(["late"])
    gate.door.set()
    closing.join(SOON_S)
    assert waiting.result(0).shape == (1, 384)


def test_a_bad_picture_is_named_by_its_position_before_anything_is_queued(starter: Encoder) -> None:
    metrics = Recorder()
    with BatchingEncoder(starter, metrics=metrics) as encoder, pytest.raises(MediaError, match="picture 1:") as error:
        encoder.encode_images([PICTURES[0], b"no picture"])
    assert error.value.reason == "corrupt"
    assert metrics.batches == []


def test_nothing_to_encode_gives_no_rows(starter: Encoder) -> None:
    with BatchingEncoder(starter) as encoder:
        assert isinstance(encoder, Encoder)
        assert encoder.encode_texts([]).shape == encoder.encode_images([]).shape == (0, 384)


class Unit:
    """Vectors that say what they were made from."""

    spec = EncoderSpec("unit", 2, 8, "unit")

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        return np.array([(image.width, image.height) for image in images if isinstance(image, Image.Image)], np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.array([(len(text), int(text)) for text in texts], np.float32)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    batch=st.integers(1, 16),
    wait_s=st.sampled_from([0.0, 0.001]),
)
@settings(max_examples=40, deadline=None)
def test_every_request_gets_its_own_rows_in_order(sizes: list[int], batch: int, wait_s: float) -> None:
    ones: Lane[str, Vectors] = Lane("ones", Unit().encode_texts, batch, wait_s, 10_000)
    others: Lane[str, Vectors] = Lane("others", Unit().encode_texts, batch, wait_s, 10_000)
    batcher = Batcher([ones, others])
    soon = time.monotonic() + SOON_S
    answers = [
        batcher.submit((ones, others)[number % 2], [f"{number * 100 + row}" for row in range(size)], soon)
        for number, size in enumerate(sizes)
    ]
    for number, (size, answer) in enumerate(zip(sizes, answers, strict=True)):
        assert answer.result(SOON_S)[:, 1].tolist() == [number * 100 + row for row in range(size)]
    batcher.close()
