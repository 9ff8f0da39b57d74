"""Batching's figures for Prometheus."""

from __future__ import annotations

from typing import Final

from firstsight.service.batching.queue_errors import DropReason
from firstsight.service.metrics import Metrics

_INPUTS: Final = {"pictures": "images"}
"""Lanes that other figures know by another name."""


class PrometheusBatchMetrics:
    """`BatchMetrics` kept in an application's `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None:
        """A forward pass; its rows and seconds are counted where it runs, cached texts left out."""
        self._metrics.batch_requests.labels(_INPUTS.get(lane, lane)).observe(requests)

    def waited(self, lane: str, seconds: float) -> None:
        """A request's time in the queue."""
        self._metrics.queue_seconds.labels(_INPUTS.get(lane, lane)).observe(seconds)

    def depth(self, lane: str, rows: int) -> None:
        """What waits now."""
        self._metrics.queue_depth.labels(_INPUTS.get(lane, lane)).set(rows)

    def dropped(self, lane: str, reason: DropReason) -> None:
        """A request that was refused or given up."""
        self._metrics.dropped.labels(_INPUTS.get(lane, lane), reason).inc()

    def cached(self, hits: int, misses: int) -> None:
        """Texts asked for."""
        self._metrics.cached_texts.labels("hit").inc(hits)
        self._metrics.cached_texts.labels("miss").inc(misses)
