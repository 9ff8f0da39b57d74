"""Dynamic batching: work of many requests is done together, a few rows of each at a time.

What waits stands in lanes, one a kind of work, and the lanes take turns. Requests of a lane take turns too, so that a
list of a thousand titles does not hold up a search.
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

from firstsight.service.batching.queue_errors import (
    BatchMetrics,
    DeadlineError,
    NoMetrics,
    QueueFullError,
    StoppedError,
)

__all__ = ["Batcher", "Lane"]

T = TypeVar("T")
A = TypeVar("A")

_FAIR_SHARE: Final = 4
"""While others wait, a request gets at most the batch's size divided by this many rows of a batch at a time."""

_MAX_RETRY_S: Final = 60


@dataclass(frozen=True)
class Lane(Generic[T, A]):
    """One kind of work, and how much of it goes together."""

    name: str  # in the plural, as messages and metrics call it
    work: Callable[[Sequence[T]], Any]  # n >= 1 inputs to n answers: an array of n rows, or a list
    max_batch: int  # rows that are worked on together
    max_wait_s: float  # how long the oldest request may wait for company
    max_queue: int  # rows that wait; one longer request is taken when nothing else waits
    join: Callable[[Sequence[Any]], A] | None = None  # a request's answers from its parts; None: put end to end

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.max_queue < 1:
            raise ValueError(f"{self.name}: max_batch and max_queue must be 1 or more")
        if not 0 <= self.max_wait_s < math.inf:
            raise ValueError(f"{self.name}: max_wait_s must be 0 or more seconds, not {self.max_wait_s}")


class _Request:
    """Inputs of one caller, taken in one or several batches."""

    def __init__(self, lane: Lane[Any, Any], inputs: Sequence[Any], deadline: float, arrived: float) -> None:
        self.inputs = inputs
        self._join = lane.join or _concatenate
        self.deadline = deadline
        self.arrived = arrived
        # Pending until it is answered, so that it can be cancelled between two of its batches.
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
        except Exception as error:  # inputs of this request that have no answer
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
    """Some rows of a request, in a batch."""

    request: _Request
    inputs: Sequence[Any]


class _Queue:
    """What waits in one lane; its owner holds the lock."""

    def __init__(self, lane: Lane[Any, Any], metrics: BatchMetrics) -> None:
        self.lane = lane
        self.requests: deque[_Request] = deque()
        self.rows = 0
        self.row_s = 0.0  # recent seconds a row, a moving average
        # Waiting for company costs a lone client its latency for nothing, so only a crowd is waited for.
        self.crowded = False
        self._metrics = metrics

    def put(self, request: _Request) -> None:
        self.requests.append(request)
        self._count(len(request.inputs))

    def drop_finished(self, now: float) -> None:
        """Take out what is answered, cancelled or too late; what is too late is told so."""
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
                request.fail(DeadlineError(f"the service did not come to the request within {waited:.1f} s: try again"))
        self.requests = alive

    def due_at(self) -> float:
        """When its next batch is due; in the past where it is now, never where nothing waits."""
        if not self.requests:
            return math.inf
        if not self.crowded or self.rows >= self.lane.max_batch:
            return -math.inf
        return min(request.arrived for request in self.requests) + self.lane.max_wait_s

    def take(self, now: float) -> list[_Part]:
        """The next batch, of 1 to max_batch rows; requests take turns at a share of it."""
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
        """Learn from a batch that was run."""
        self.crowded = requests > 1 or bool(self.requests)
        self.row_s = seconds / rows if not self.row_s else 0.8 * self.row_s + 0.2 * seconds / rows
        self._metrics.batch(self.lane.name, rows, requests, seconds)

    def retry_after_s(self, waiting: int) -> int:
        return max(1, min(_MAX_RETRY_S, math.ceil(waiting * self.row_s)))

    def _count(self, change: int) -> None:
        self.rows += change
        self._metrics.depth(self.lane.name, self.rows)


class Batcher:
    """Threads that do the work of several lanes, in batches that requests share.

    Args:
        lanes: each with a name of its own.
        metrics: told of every batch.
        threads: batches at work at once; one where the work is not for several. With more, a request has one input.
    """

    def __init__(self, lanes: Sequence[Lane[Any, Any]], metrics: BatchMetrics | None = None, threads: int = 1) -> None:
        self._metrics = metrics or NoMetrics()
        self._queues = {lane.name: _Queue(lane, self._metrics) for lane in lanes}
        self._rotation = deque(self._queues.values())  # whose turn it is stands first
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name="batcher", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        # A daemon thread inside a model while the interpreter goes can abort the process.
        atexit.register(self.close)

    def submit(self, lane: Lane[T, A], inputs: Sequence[T], deadline: float) -> Future[A]:
        """Queue work; cancelling the future drops what of it has not been run.

        Args:
            inputs: n >= 1.
            deadline: on the clock of `time.monotonic`.

        Returns:
            A future of the n answers, or of whatever the lane's `work` or `join` raised; DeadlineError where the queue
            was too long. It may stay unanswered past the deadline while a batch runs: wait no longer than that.

        Raises:
            QueueFullError, StoppedError: nothing was queued.
        """
        assert len(inputs) == 1 or len(self._threads) == 1, "parts of one request could end in another order"
        request = _Request(lane, inputs, deadline, time.monotonic())
        with self._changed:
            if self._stopping:
                raise StoppedError("the service is stopping and takes no new work: ask again when it is back")
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
        """What a caller is told who keeps inputs back from a full lane."""
        self._metrics.dropped(lane.name, "full")
        with self._changed:
            return QueueFullError(lane.name, waiting, lane.max_queue, self._queues[lane.name].retry_after_s(waiting))

    def close(self) -> None:
        """Finish what waits, then stop; what is submitted from now on is refused."""
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
        """Wait for a batch that is due; None once all is done and the batcher stops."""
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
        """The lane whose batch is run now; it stands last from then on."""
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
        except Exception as error:  # whatever the work raises belongs to whoever asked for it, and the thread goes on
            if len(parts) == 1:
                parts[0].request.fail(error)
            else:  # one of them is to blame: each alone, so that it costs nobody else
                for part in parts:
                    self._run(queue, [part])
            return
        with self._changed:
            queue.done(len(answers), len(parts), time.monotonic() - began)
        start = 0
        for part in parts:
            part.request.add(answers[start : start + len(part.inputs)])
            start += len(part.inputs)
