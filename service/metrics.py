"""Prometheus metrics of requests, failures, encoder and store; for one process or for all workers."""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one application, in their own registry."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "firstsight_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "firstsight_request_seconds",
            "Seconds from the head of a request to the last byte of its answer",
            ("route",),
            registry=registry,
            buckets=_SECONDS,
        )
        self.in_flight = Gauge(
            "firstsight_requests_in_flight", "Requests in progress", registry=registry, multiprocess_mode="livesum"
        )
        self.connections = Gauge(
            "firstsight_connections", "Open connections", registry=registry, multiprocess_mode="livesum"
        )
        self.connections_closed = Counter(
            "firstsight_connections_closed",
            "Connections closed by a limit: head_timeout, write_timeout, made_room, refused",
            ("reason",),
            registry=registry,
        )
        self.failures = Counter(
            "firstsight_failures",
            "Requests refused or failed, by the code of the problem",
            ("code",),
            registry=registry,
        )
        self.encoder_seconds = Histogram(
            "firstsight_encoder_seconds", "Seconds of forward passes", ("input",), registry=registry, buckets=_SECONDS
        )
        self.batch_rows = Histogram(
            "firstsight_batch_rows",
            "Texts or pictures in one forward pass",
            ("input",),
            registry=registry,
            buckets=_ROWS,
        )
        self.queue_depth = Gauge(
            "firstsight_queue_depth",
            "Texts, images and searches in the queue",
            ("input",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.queue_seconds = Histogram(
            "firstsight_queue_seconds",
            "Seconds until the first rows of a request left the queue",
            ("input",),
            registry=registry,
            buckets=_SECONDS,
        )
        self.batch_requests = Histogram(
            "firstsight_batch_requests",
            "Requests in one batch",
            ("input",),
            registry=registry,
            buckets=_ROWS,
        )
        self.dropped = Counter(
            "firstsight_dropped",
            "Requests dropped: full queue, deadline, or cancelled by the client",
            ("input", "reason"),
            registry=registry,
        )
        self.cached_texts = Counter(
            "firstsight_cached_texts",
            "Texts to encode, by whether their vector was cached",
            ("found",),
            registry=registry,
        )
        self.store_seconds = Histogram(
            "firstsight_store_seconds",
            "Seconds in the database, without the encoder",
            registry=registry,
            buckets=_SECONDS,
        )

    def text(self) -> bytes:
        """All metrics in Prometheus' text format; of all workers if several serve."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
