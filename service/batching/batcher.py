"""Dynamic batching: process the work of many requests together, a few rows of each request at a time.

Each kind of work has a lane with its own queue, and the lanes take turns. The requests of a lane take turns too, so a
list of a thousand titles does not delay a search.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np

from firstsight.service.batching.batch_metrics import BatchMetrics, NoMetrics
from firstsight.service.batching.queue_errors import DeadlineError, QueueFullError, StoppedError

T = TypeVar("T")
A = TypeVar("A")

_FAIR_SHARE: Final = 4
"""While other requests wait, a request gets at most 1 / _FAIR_SHARE of a batch at a time."""

_MAX_RETRY_S: Final = 60


@dataclass(frozen=True)
class Lane(Generic[T, A]):
    """One kind of work, with the limits of its batches and its queue."""

    name: str  # a plural, for messages and metrics
    work: Callable[[Sequence[T]], Any]  # takes n >= 1 inputs; returns n answers, as an array of n rows or a list
    max_batch: int  # maximum rows of a batch
    max_wait_s: float  # maximum seconds that the oldest request waits for others to share its batch
    max_queue: int  # maximum rows that wait; an empty queue also takes one longer request
    join: Callable[[Sequence[Any]], A] | None = None  # joins the answers to the parts of a request; None concatenates

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.max_queue < 1:
            raise ValueError(f"{self.name}: max_batch and max_queue must be 1 or more")
        if not 0 <= self.max_wait_s < math.inf:
            raise ValueError(f"{self.name}: max_wait_s must be 0 or more seconds, not {self.max_wait_s}")


class _Request:
    """Inputs of one caller, processed in one or several batches."""

    def __init__(self, lane: Lane[Any, Any], inputs: Sequence[Any], deadline: float, arrived: float) -> None:
        self.inputs = inputs
        self._join = lane.join or _concatenate
        self.deadline = deadline
        self.arrived = arrived
        # Pending until the answer, so that it can be cancelled between two batches.
        self.future: Future[Any] = Future()
        self.taken = 0
        self._parts: list[Any] = []

    @property
    def left(self) -> int:
        return len(self.inputs) - self.taken

    def add(self, answers: Any) -> None:
        self._parts.append(answers)
        if sum(map(len, self._parts)) < len(self.inputs) or not self.future.set_running_or_notify_cancel():
            return
        try:
            answer = self._join(self._parts)
        except Exception as error:  # some inputs of this request have no answer
            self.future.set_exception(error)
        else:
            self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def _concatenate(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return [answer for part in parts for answer in part] if isinstance(parts[0], list) else np.concatenate(parts)


@dataclass(frozen=True)
class _Part:
    """The rows of one request in a batch."""

    request: _Request
    inputs: Sequence[Any]


class _Queue:
    """Requests that wait in one lane. Callers hold the lock of the `Batcher`."""

    def __init__(self, lane: Lane[Any, Any], metrics: BatchMetrics) -> None:
        self.lane = lane
        self.requests: deque[_Request] = deque()
        self.rows = 0
        self.row_s = 0.0  # recent seconds per row, a moving average
        # A single client would only lose time by waiting, so batches wait only after recent batches were shared.
        self.crowded = False
        self._metrics = metrics

    def put(self, request: _Request) -> None:
        self.requests.append(request)
        self._count(len(request.inputs))

    def drop_finished(self, now: float) -> None:
        """Remove requests that are answered, cancelled or late; late ones fail with DeadlineError."""
        alive: deque[_Request] = deque()
        for request in self.requests:
            late = request.deadline <= now and not request.future.done()
            if not late and not request.future.done():
                alive.append(request)
                continue
            self._count(-request.left)
            if late or request.future.cancelled():
                self._metrics.dropped(self.lane.name, "deadline" if late else "cancelled")
            if late:
                waited = now - request.arrived
                request.fail(DeadlineError(f"the request waited {waited:.1f} s without an answer; try again"))
        self.requests = alive

    def due_at(self) -> float:
        """The time at which the next batch is due: -inf for now, inf if nothing waits."""
        if not self.requests:
            return math.inf
        if not self.crowded or self.rows >= self.lane.max_batch:
            return -math.inf
        return min(request.arrived for request in self.requests) + self.lane.max_wait_s

    def take(self, now: float) -> list[_Part]:
        """Take the next batch, 1 to max_batch rows; requests take turns, a share of the batch each."""
        share = max(1, self.lane.max_batch // _FAIR_SHARE)
        room = self.lane.max_batch
        taken: dict[_Request, int] = {}
        while room and self.requests:
            request = self.requests.popleft()
            if not request.taken:
                self._metrics.waited(self.lane.name, now - request.arrived)
            rows = min(share, room, request.left)
            request.taken += rows
            taken[request] = taken.get(request, 0) + rows
            room -= rows
            if request.left:
                self.requests.append(request)
        self._count(room - self.lane.max_batch)
        return [_Part(request, request.inputs[request.taken - rows : request.taken]) for request, rows in taken.items()]

    def done(self, rows: int, requests: int, seconds: float) -> None:
        """Update the averages after a batch."""
        self.crowded = requests > 1 or bool(self.requests)
        self.row_s = seconds / rows if not self.row_s else 0.8 * self.row_s + 0.2 * seconds / rows
        self._metrics.batch(self.lane.name, rows, requests, seconds)

    def retry_after_s(self, waiting: int) -> int:
        return max(1, min(_MAX_RETRY_S, math.ceil(waiting * self.row_s)))

    def _count(self, change: int) -> None:
        self.rows += change
        self._metrics.depth(self.lane.name, self.rows)


class Batcher:
    """Threads that process the work of several lanes in shared batches.

    Args:
        lanes: kinds of work, with distinct names.
        metrics: counts batches, waits and queues.
        threads: batches processed at the same time. Use one if the work is not thread-safe. With more than one, each
            request must have exactly one input.
    """

    def __init__(self, lanes: Sequence[Lane[Any, Any]], metrics: BatchMetrics | None = None, threads: int = 1) -> None:
        self._metrics = metrics or NoMetrics()
        self._queues = {lane.name: _Queue(lane, self._metrics) for lane in lanes}
        self._rotation = deque(self._queues.values())  # the lane whose turn it is comes first
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name="batcher", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        # A daemon thread that still runs a model at interpreter exit can abort the process.
        atexit.register(self.close)

    def submit(self, lane: Lane[T, A], inputs: Sequence[T], deadline: float) -> Future[A]:
        """Queue work. Cancelling the future drops the inputs that were not processed yet.

        Args:
            lane: one of the lanes of this batcher.
            inputs: n >= 1 inputs.
            deadline: time on the clock of `time.monotonic`.

        Returns:
            A future of the n answers. It fails with the error that the lane's `work` or `join` raised, or with
            DeadlineError if the request waited too long. While a batch runs, the future may stay pending past the
            deadline: do not wait longer than the deadline.

        Raises:
            QueueFullError: the queue is full; nothing was queued.
            StoppedError: the batcher is stopping; nothing was queued.
        """
        assert len(inputs) == 1 or len(self._threads) == 1, "parts of one request could end in another order"
        request = _Request(lane, inputs, deadline, time.monotonic())
        with self._changed:
            if self._stopping:
                raise StoppedError("the service is stopping; try again when it is back")
            queue = self._queues[lane.name]
            if queue.rows + len(inputs) > lane.max_queue:
                queue.drop_finished(request.arrived)
            if queue.rows and queue.rows + len(inputs) > lane.max_queue:
                self._metrics.dropped(lane.name, "full")
                raise QueueFullError(lane.name, queue.rows, lane.max_queue, queue.retry_after_s(queue.rows))
            queue.put(request)
            self._changed.notify()
        return request.future

    def queue_full_error(self, lane: Lane[Any, Any], waiting: int) -> QueueFullError:
        """The error for a caller that does not submit inputs because too many wait already."""
        self._metrics.dropped(lane.name, "full")
        with self._changed:
            return QueueFullError(lane.name, waiting, lane.max_queue, self._queues[lane.name].retry_after_s(waiting))

    def close(self) -> None:
        """Finish the queued work, then stop; new work is refused."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        atexit.unregister(self.close)

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            self._run(*taken)

    def _next(self) -> tuple[_Queue, list[_Part]] | None:
        """Wait for a batch that is due; None if the batcher stops and the queues are empty."""
        with self._changed:
            while True:
                now = time.monotonic()
                for queue in self._rotation:
                    queue.drop_finished(now)
                if (due := self._due(now)) is not None:
                    return due, due.take(now)
                if self._stopping:
                    return None
                soonest = min(queue.due_at() for queue in self._rotation)
                self._changed.wait(None if soonest == math.inf else max(0.0, soonest - now))

    def _due(self, now: float) -> _Queue | None:
        """The queue whose batch is due now; it moves to the end of the rotation."""
        for queue in self._rotation:
            if queue.due_at() <= now or (self._stopping and queue.requests):
                self._rotation.remove(queue)
                self._rotation.append(queue)
                return queue
        return None

    def _run(self, queue: _Queue, parts: Sequence[_Part]) -> None:
        began = time.monotonic()
        try:
            answers = queue.lane.work([row for part in parts for row in part.inputs])
        except Exception as error:  # the error goes to the callers, and the thread goes on
            if len(parts) == 1:
                parts[0].request.fail(error)
            else:  # one request is the cause: run each alone, so that the others get their answers
                for part in parts:
                    self._run(queue, [part])
            return
        with self._changed:
            queue.done(len(answers), len(parts), time.monotonic() - began)
        start = 0
        for part in parts:
            part.request.add(answers[start : start + len(part.inputs)])
            start += len(part.inputs)
