"""An encoder for many threads at once: their texts and pictures share forward passes, their texts a cache."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import numpy as np
from PIL import Image

from firstsight.encoders.base import Encoder, ImageInput, Vector, Vectors
from firstsight.encoders.isolation import Outcome, as_vectors, try_images, try_texts
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture
from firstsight.service.batching.batcher import Batcher, Lane
from firstsight.service.batching.cancellation import ClientGoneError, cancelled_with_request
from firstsight.service.batching.encoder_wrapper import EncoderWrapper
from firstsight.service.batching.queue_errors import BatchMetrics, DeadlineError, NoMetrics, QueueFullError

__all__ = ["BatchSettings", "BatchingEncoder", "TextCache", "time_limit"]

T = TypeVar("T")

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@dataclass(frozen=True)
class BatchSettings:
    """How work is put together."""

    text_batch: int = 64
    """Texts of one forward pass at most."""

    picture_batch: int = 32
    """Pictures of one forward pass at most; 1 turns batching of them off."""

    max_wait_s: float = 0.003
    """Seconds that a request waits for others to share its pass with; a lone client never waits."""

    text_queue: int = 4096
    """Texts that may wait before more are refused."""

    picture_queue: int = 256
    """Pictures that may wait before more are refused; each is 1 to 4 MB."""

    search_queue: int = 1024
    """Searches that may wait before more are refused."""

    timeout_s: float = 30.0
    """Seconds for the encoder to answer where no `time_limit` is set."""

    cached_texts: int = 20_000
    """Texts whose vectors are kept, those asked for last; 0 keeps none."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give what is encoded inside, in this thread or task, this many seconds; a narrower limit around it holds."""
    ends = time.monotonic() + seconds
    outer = _deadline.get()
    token = _deadline.set(ends if outer is None else min(ends, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


class TextCache:
    """The vectors of texts asked for last; for several threads.

    Texts are kept as digests, so that long ones take no more memory than short ones.

    Args:
        size: texts that are kept; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, text: str) -> Vector | None:
        """A text's vector, now the one asked for last."""
        key = _digest(text)
        with self._lock:
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
            return vector

    def put(self, text: str, vector: Vector) -> None:
        """Keep a vector; what has not been asked for longest makes room."""
        with self._lock:
            self._vectors[_digest(text)] = vector.copy()  # not a row that holds its whole batch in memory
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class BatchingEncoder(EncoderWrapper):
    """An `Encoder` over another one, for use by any number of threads.

    Vectors are those of the encoder itself; where its batches round differently from single rows, to within that.

    Args:
        encoder: used by one thread at a time from now on, so by nobody else.
        settings: sizes of batches and queues.
        metrics: told of batches, waits, queues and the cache.
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
        """Encode pictures, in order; they are decoded in the calling thread.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no pictures.

        Raises:
            MediaError: a picture cannot be read; the message says which one by its position.
            InputError: the encoder fails on some of the pictures; those of other callers get their vectors.
            QueueFullError, DeadlineError, StoppedError: the encoder has more to do than it can.
        """
        pictures = [_decode(image, position, self.spec.min_side) for position, image in enumerate(images)]
        return self._wait_for(self.submit_pictures(pictures))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; over-long texts are truncated to the model's context.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no texts.

        Raises:
            InputError: the encoder fails on some of the texts.
            QueueFullError, DeadlineError, StoppedError: the encoder has more to do than it can.
        """
        return self._wait_for(self.submit_texts(texts))

    def submit_pictures(self, pictures: Sequence[Image.Image]) -> Future[Vectors]:
        """As `encode_images`, for decoded RGB pictures and without waiting; `remaining` says how long to wait."""
        return self._submit(self._pictures, pictures)

    def submit_texts(self, texts: Sequence[str]) -> Future[Vectors]:
        """As `encode_texts`, without waiting; `remaining` says how long to wait."""
        known = [self._cache.get(text) for text in texts]
        found = [vector for vector in known if vector is not None]
        self._metrics.cached(len(found), len(known) - len(found))
        if texts and len(found) == len(known):
            return _completed_future(np.stack(found))
        return self._submit(self._texts, texts)

    def picture_queue_full_error(self, waiting: int) -> QueueFullError:
        """What a caller is told who has decoded, or is about to decode, more pictures than may wait."""
        return self._batcher.queue_full_error(self._pictures, waiting)

    def remaining(self) -> float:
        """Seconds, 0 or more, that the thread's or task's `time_limit` leaves; `timeout_s` where there is none."""
        return max(0.0, self._request_deadline() - time.monotonic())

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._batcher.close()

    def _submit(self, lane: Lane[T, Vectors], inputs: Sequence[T]) -> Future[Vectors]:
        if not inputs:
            return _completed_future(np.empty((0, self.spec.dim), dtype=np.float32))
        return self._batcher.submit(lane, inputs, self._request_deadline())

    def _request_deadline(self) -> float:
        ends = _deadline.get()
        return time.monotonic() + self.settings.timeout_s if ends is None else ends

    def _wait_for(self, future: Future[Vectors]) -> Vectors:
        limit = self.remaining()
        try:
            with cancelled_with_request(future):
                return future.result(limit)
        except CancelledError as error:
            raise ClientGoneError("nobody waits for the answer") from error
        except TimeoutError as error:
            if future.done():  # the model's own
                raise
            future.cancel()
            raise DeadlineError(f"the encoder did not answer within {limit:.1f} s: try again") from error

    def _encode_pictures(self, pictures: Sequence[Image.Image]) -> list[Outcome]:
        return try_images(self._encoder, pictures)

    def _encode_texts(self, texts: Sequence[str]) -> list[Outcome]:
        """Outcomes of texts some of which another request may have asked for a moment ago, or in the same batch."""
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
