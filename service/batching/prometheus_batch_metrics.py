"""Metrics of the batching queues for Prometheus."""

from __future__ import annotations

from typing import Final

from firstsight.service.batching.batch_metrics import DropReason
from firstsight.service.metrics import Metrics

_INPUTS: Final = {"pictures": "images"}
"""Lanes whose label in the metrics is another name."""


class PrometheusBatchMetrics:
    """`BatchMetrics` that counts in an application's `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None:
        """Count a batch. `PassTimingEncoder` counts its rows and seconds, without cached texts."""
        self._metrics.batch_requests.labels(_INPUTS.get(lane, lane)).observe(requests)

    def waited(self, lane: str, seconds: float) -> None:
        """Count a request's time in the queue."""
        self._metrics.queue_seconds.labels(_INPUTS.get(lane, lane)).observe(seconds)

    def depth(self, lane: str, rows: int) -> None:
        """Set the number of rows that wait now."""
        self._metrics.queue_depth.labels(_INPUTS.get(lane, lane)).set(rows)

    def dropped(self, lane: str, reason: DropReason) -> None:
        """Count a request that was refused or cancelled."""
        self._metrics.dropped.labels(_INPUTS.get(lane, lane), reason).inc()

    def cached(self, hits: int, misses: int) -> None:
        """Count texts that were in the cache, and texts that were not."""
        self._metrics.cached_texts.labels("hit").inc(hits)
        self._metrics.cached_texts.labels("miss").inc(misses)
