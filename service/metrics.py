"""Figures for Prometheus: requests, failures, the encoder, the store. Of one application, or of all its workers."""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one application, in a registry of its own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "firstsight_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "firstsight_request_seconds", "From head to last byte", ("route",), registry=registry, buckets=_SECONDS
        )
        self.in_flight = Gauge(
            "firstsight_requests_in_flight", "Being answered", registry=registry, multiprocess_mode="livesum"
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
            "firstsight_encoder_seconds", "Forward passes", ("input",), registry=registry, buckets=_SECONDS
        )
        self.batch_rows = Histogram(
            "firstsight_batch_rows", "Texts or pictures in one pass", ("input",), registry=registry, buckets=_ROWS
        )
        self.queue_depth = Gauge(
            "firstsight_queue_depth",
            "Texts and images that wait for the encoder, and searches that wait",
            ("input",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.queue_seconds = Histogram(
            "firstsight_queue_seconds",
            "Waited, until the first rows of a request were taken",
            ("input",),
            registry=registry,
            buckets=_SECONDS,
        )
        self.batch_requests = Histogram(
            "firstsight_batch_requests",
            "Requests worked on together",
            ("input",),
            registry=registry,
            buckets=_ROWS,
        )
        self.dropped = Counter(
            "firstsight_dropped",
            "Requests that were not worked on: the queue was full, they were late, their client had gone",
            ("input", "reason"),
            registry=registry,
        )
        self.cached_texts = Counter(
            "firstsight_cached_texts",
            "Texts asked for, by whether their vector was kept",
            ("found",),
            registry=registry,
        )
        self.store_seconds = Histogram(
            "firstsight_store_seconds", "In the database, the encoder left out", registry=registry, buckets=_SECONDS
        )

    def text(self) -> bytes:
        """All figures in Prometheus' text format; of every worker where several serve."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
