"""An encoder for several threads: they take turns; and one that is timed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors
from firstsight.service.metrics import Metrics


class TurnTakingEncoder:
    """An `Encoder` around another that is not for several threads at once; each call waits for the one before."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._turn = threading.Lock()

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    @property
    def runtime(self) -> str:
        """What runs it, for the record of a run."""
        return str(getattr(self._encoder, "runtime", ""))

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """As `Encoder.encode_images`."""
        with self._turn:
            return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Encoder.encode_texts`."""
        with self._turn:
            return self._encoder.encode_texts(texts)


class WaitedForEncoder:
    """An `Encoder` around another that adds up, for each thread, how long it waited for vectors."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._threads = threading.local()

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    @property
    def runtime(self) -> str:
        """What runs it, for the record of a run."""
        return str(getattr(self._encoder, "runtime", ""))

    @property
    def waited_s(self) -> float:
        """Seconds that this thread has waited, in all its calls."""
        return getattr(self._threads, "waited_s", 0.0)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """As `Encoder.encode_images`."""
        with self._waiting():
            return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Encoder.encode_texts`."""
        with self._waiting():
            return self._encoder.encode_texts(texts)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._threads.waited_s = self.waited_s + time.perf_counter() - began


class MeasuredEncoder:
    """An `Encoder` around the one that computes: seconds and rows of each pass go to the figures."""

    def __init__(self, encoder: Encoder, metrics: Metrics) -> None:
        self._encoder = encoder
        self._metrics = metrics

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    @property
    def runtime(self) -> str:
        """What runs it, for the record of a run."""
        return str(getattr(self._encoder, "runtime", ""))

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """As `Encoder.encode_images`."""
        with self._measured("images", len(images)):
            return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Encoder.encode_texts`."""
        with self._measured("texts", len(texts)):
            return self._encoder.encode_texts(texts)

    @contextmanager
    def _measured(self, kind: str, rows: int) -> Iterator[None]:
        self._metrics.batch_rows.labels(kind).observe(rows)
        with self._metrics.encoder_seconds.labels(kind).time():
            yield
