"""Encoder wrappers that measure wait time and forward-pass time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.service.batching.encoder_wrapper import EncoderWrapper
from firstsight.service.metrics import Metrics


class WaitTimingEncoder(EncoderWrapper):
    """An `Encoder` wrapper that adds up how long each thread waited for vectors."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._threads = threading.local()

    @property
    def waited_s(self) -> float:
        """Seconds that this thread has waited, in all its calls."""
        return getattr(self._threads, "waited_s", 0.0)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """As `Encoder.encode_images`."""
        with self._time_wait():
            return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Encoder.encode_texts`."""
        with self._time_wait():
            return self._encoder.encode_texts(texts)

    @contextmanager
    def _time_wait(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._threads.waited_s = self.waited_s + time.perf_counter() - began


class PassTimingEncoder(EncoderWrapper):
    """An `Encoder` wrapper that counts the seconds and rows of each forward pass in the metrics."""

    def __init__(self, encoder: Encoder, metrics: Metrics) -> None:
        super().__init__(encoder)
        self._metrics = metrics

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """As `Encoder.encode_images`."""
        with self._time_pass("images", len(images)):
            return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Encoder.encode_texts`."""
        with self._time_pass("texts", len(texts)):
            return self._encoder.encode_texts(texts)

    @contextmanager
    def _time_pass(self, kind: str, rows: int) -> Iterator[None]:
        self._metrics.batch_rows.labels(kind).observe(rows)
        with self._metrics.encoder_seconds.labels(kind).time():
            yield
