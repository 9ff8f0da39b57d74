"""Interface for counting what a batching queue does."""

from __future__ import annotations

from typing import Literal, Protocol

DropReason = Literal["full", "deadline", "cancelled"]


class BatchMetrics(Protocol):
    """Counts batches and waits. Several threads call it, so it must be thread-safe and quick."""

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None:
        """Count one batch: its rows, the requests that shared it, and its time."""

    def waited(self, lane: str, seconds: float) -> None:
        """Count the time that a request waited until its first rows were taken."""

    def depth(self, lane: str, rows: int) -> None:
        """Set the number of rows that wait now."""

    def dropped(self, lane: str, reason: DropReason) -> None:
        """Count a request that was refused or cancelled."""

    def cached(self, hits: int, misses: int) -> None:
        """Count texts that were in the cache, and texts that were not."""


class NoMetrics:
    """`BatchMetrics` that counts nothing."""

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None: ...
    def waited(self, lane: str, seconds: float) -> None: ...
    def depth(self, lane: str, rows: int) -> None: ...
    def dropped(self, lane: str, reason: DropReason) -> None: ...
    def cached(self, hits: int, misses: int) -> None: ...
