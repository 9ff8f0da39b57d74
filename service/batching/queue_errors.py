"""What batching tells others: why work was not done, and what there is to count."""

from __future__ import annotations

from typing import Literal, Protocol

from firstsight.service.service_errors import ServiceError

DropReason = Literal["full", "deadline", "cancelled"]


class QueueFullError(ServiceError):
    """More is waiting than the queue holds.

    Attributes:
        retry_after_s: whole seconds, 1 to 60, after which what waits now should be done.
    """

    status, code = 429, "queue_full"

    def __init__(self, lane: str, queued: int, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"{queued} {lane} are waiting, and at most {limit} may; try again in {retry_after_s} s",
            {"Retry-After": str(retry_after_s)},
        )
        self.retry_after_s = retry_after_s


class DeadlineError(ServiceError):
    """The service did not come to a request before its time was over."""

    status, code = 504, "deadline"


class StoppedError(ServiceError):
    """The service is stopping and takes no new work."""

    status, code = 503, "stopping"


class BatchMetrics(Protocol):
    """What is told of batching, to be counted; called by several threads, so it must be quick and safe for that."""

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None:
        """One forward pass: its rows, the requests that shared it, and the time it took."""

    def waited(self, lane: str, seconds: float) -> None:
        """How long a request stood in the queue before its first rows were taken."""

    def depth(self, lane: str, rows: int) -> None:
        """Rows that wait now."""

    def dropped(self, lane: str, reason: DropReason) -> None:
        """A request that was refused or given up."""

    def cached(self, hits: int, misses: int) -> None:
        """Texts found, and not found, among the cached ones."""


class NoMetrics:
    """Counts nothing."""

    def batch(self, lane: str, rows: int, requests: int, seconds: float) -> None: ...
    def waited(self, lane: str, seconds: float) -> None: ...
    def depth(self, lane: str, rows: int) -> None: ...
    def dropped(self, lane: str, reason: DropReason) -> None: ...
    def cached(self, hits: int, misses: int) -> None: ...
