"""An encoder for many threads: their texts and pictures share forward passes, and texts share a cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import numpy as np
from PIL import Image

from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.encoders.input_lists import as_images, as_texts
from firstsight.encoders.isolation import Outcome, as_vectors, try_images, try_texts
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture
from firstsight.service.batching.batch_metrics import BatchMetrics, NoMetrics
from firstsight.service.batching.batcher import Batcher, Lane
from firstsight.service.batching.cancellation import ClientGoneError, cancelled_with_request
from firstsight.service.batching.encoder_wrapper import EncoderWrapper
from firstsight.service.batching.queue_errors import DeadlineError, QueueFullError
from firstsight.service.batching.text_cache import TextCache

T = TypeVar("T")

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@dataclass(frozen=True)
class BatchSettings:
    """Sizes of batches, queues and the text cache."""

    text_batch: int = 64
    """Maximum texts in one forward pass."""

    picture_batch: int = 32
    """Maximum pictures in one forward pass; 1 turns batching of pictures off."""

    max_wait_s: float = 0.003
    """Seconds that a request waits for others to share its pass; a single client never waits."""

    text_queue: int = 4096
    """Maximum texts that wait; further ones are refused."""

    picture_queue: int = 256
    """Maximum pictures that wait; further ones are refused. Each takes 1 to 4 MB."""

    search_queue: int = 1024
    """Maximum searches that wait; further ones are refused."""

    timeout_s: float = 30.0
    """Seconds for the encoder to answer if no `time_limit` is set."""

    cached_texts: int = 20_000
    """Number of text vectors in the cache, the most recently used; 0 turns the cache off."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the encoding time in the block for this thread or task; a shorter limit around the block still holds."""
    deadline = time.monotonic() + seconds
    outer = _deadline.get()
    token = _deadline.set(deadline if outer is None else min(deadline, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


class BatchingEncoder(EncoderWrapper):
    """A thread-safe `Encoder` around another encoder.

    The vectors equal those of the inner encoder, up to its rounding differences between batches and single rows.

    Args:
        encoder: the inner encoder. One thread at a time uses it; nothing else may use it from now on.
        settings: sizes of batches and queues.
        metrics: counts batches, waits, queues and cache hits.
    """

    def __init__(
        self, encoder: Encoder, settings: BatchSettings | None = None, metrics: BatchMetrics | None = None
    ) -> None:
        self.settings = settings or BatchSettings()
        super().__init__(encoder)
        self._metrics = metrics or NoMetrics()
        self._cache = TextCache(self.settings.cached_texts)
        wait = self.settings.max_wait_s
        self._texts: Lane[str, Vectors] = Lane(
            "texts", self._encode_texts, self.settings.text_batch, wait, self.settings.text_queue, _join_outcomes
        )
        self._pictures: Lane[Image.Image, Vectors] = Lane(
            "pictures",
            self._encode_pictures,
            self.settings.picture_batch,
            wait,
            self.settings.picture_queue,
            _join_outcomes,
        )
        self._batcher = Batcher([self._texts, self._pictures], self._metrics)

    def __enter__(self) -> BatchingEncoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order; the calling thread decodes them.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no pictures.

        Raises:
            MediaError: a picture cannot be read; the message gives its position.
            InputError: the encoder fails on some of the pictures; other callers get their vectors.
            QueueFullError: too many pictures wait.
            DeadlineError: the encoder did not answer within the time limit.
            StoppedError: the service is stopping.
            ClientGoneError: the request was cancelled.
        """
        pictures = [_decode(image, position, self.spec.min_side) for position, image in enumerate(as_images(images))]
        return self._wait_for(self.submit_pictures(pictures))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; over-long texts are truncated to the model's context.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no texts.

        Raises:
            InputError: the encoder fails on some of the texts; other callers get their vectors.
            QueueFullError: too many texts wait.
            DeadlineError: the encoder did not answer within the time limit.
            StoppedError: the service is stopping.
            ClientGoneError: the request was cancelled.
        """
        return self._wait_for(self.submit_texts(as_texts(texts)))

    def submit_pictures(self, pictures: Sequence[Image.Image]) -> Future[Vectors]:
        """As `encode_images`, but for decoded RGB pictures and without waiting; `remaining` gives the time to wait."""
        return self._submit(self._pictures, pictures)

    def submit_texts(self, texts: Sequence[str]) -> Future[Vectors]:
        """As `encode_texts`, but without waiting; `remaining` gives the time to wait."""
        known = [self._cache.get(text) for text in texts]
        cached = [vector for vector in known if vector is not None]
        self._metrics.cached(len(cached), len(known) - len(cached))
        if texts and len(cached) == len(known):
            return _completed_future(np.stack(cached))
        return self._submit(self._texts, texts)

    def picture_queue_full_error(self, waiting: int) -> QueueFullError:
        """The error for a caller with more pictures than may wait, before or after decoding them."""
        return self._batcher.queue_full_error(self._pictures, waiting)

    def remaining(self) -> float:
        """Seconds left of the `time_limit` of this thread or task, 0 or more; `timeout_s` if none is set."""
        return max(0.0, self._request_deadline() - time.monotonic())

    def close(self) -> None:
        """Finish the work that waits, then stop."""
        self._batcher.close()

    def _submit(self, lane: Lane[T, Vectors], inputs: Sequence[T]) -> Future[Vectors]:
        if not inputs:
            return _completed_future(np.empty((0, self.spec.dim), dtype=np.float32))
        return self._batcher.submit(lane, inputs, self._request_deadline())

    def _request_deadline(self) -> float:
        deadline = _deadline.get()
        return time.monotonic() + self.settings.timeout_s if deadline is None else deadline

    def _wait_for(self, future: Future[Vectors]) -> Vectors:
        limit = self.remaining()
        try:
            with cancelled_with_request(future):
                return future.result(limit)
        except CancelledError as error:
            raise ClientGoneError("the request was cancelled") from error
        except TimeoutError as error:
            if future.done():  # the TimeoutError is the model's own
                raise
            future.cancel()
            raise DeadlineError(f"the encoder did not answer within {limit:.1f} s; try again") from error

    def _encode_pictures(self, pictures: Sequence[Image.Image]) -> list[Outcome]:
        return try_images(self._encoder, pictures)

    def _encode_texts(self, texts: Sequence[str]) -> list[Outcome]:
        """Encode texts, each distinct text once; another request may have cached some of them meanwhile."""
        known: dict[str, Outcome | None] = {text: self._cache.get(text) for text in dict.fromkeys(texts)}
        missing = [text for text, vector in known.items() if vector is None]
        for text, outcome in zip(missing, try_texts(self._encoder, missing), strict=True):
            known[text] = outcome
            if not isinstance(outcome, MediaError):
                self._cache.put(text, outcome)
        return [outcome for outcome in (known[text] for text in texts) if outcome is not None]


def _join_outcomes(parts: Sequence[Sequence[Outcome]]) -> Vectors:
    return as_vectors([outcome for part in parts for outcome in part])


def _completed_future(vectors: Vectors) -> Future[Vectors]:
    future: Future[Vectors] = Future()
    future.set_result(vectors)
    return future


def _decode(image: ImageInput, position: int, min_side: int) -> Image.Image:
    try:
        return open_picture(image, min_side=min_side)
    except MediaError as error:
        raise MediaError(error.reason, f"picture {position}: {error}") from error
