"""Errors of work that a batching queue did not do."""

from __future__ import annotations

from firstsight.service.service_errors import ServiceError


class QueueFullError(ServiceError):
    """The queue is full.

    Attributes:
        retry_after_s: whole seconds, 1 to 60, after which the work that waits now should be done.
    """

    status, code = 429, "queue_full"

    def __init__(self, lane: str, queued: int, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"{queued} {lane} are waiting, and the limit is {limit}; try again in {retry_after_s} s",
            {"Retry-After": str(retry_after_s)},
        )
        self.retry_after_s = retry_after_s


class DeadlineError(ServiceError):
    """The service did not answer a request in time."""

    status, code = 504, "deadline"


class StoppedError(ServiceError):
    """The service is stopping and takes no new work."""

    status, code = 503, "stopping"
