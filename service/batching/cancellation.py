"""Cancel the work for a request when its client disconnects or its time is over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import anyio
from fastapi import Request

from firstsight.service.batching.queue_errors import DeadlineError
from firstsight.service.service_errors import ServiceError

T = TypeVar("T")


class ClientGoneError(ServiceError):
    """The client of the request disconnected, or the request was cancelled."""

    status, code = 499, "client_gone"


class _Cancellation:
    """The futures that threads await for one request; they are cancelled with the request."""

    def __init__(self) -> None:
        self.cancelled = False
        self._futures: set[Future[Any]] = set()
        self._lock = threading.Lock()

    def add(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.add(future)
            if self.cancelled:
                future.cancel()

    def discard(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            for future in self._futures:
                future.cancel()


_current_cancellation: ContextVar[_Cancellation | None] = ContextVar("cancellation", default=None)


async def run_until_cancelled(request: Request, limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` until it ends, the client disconnects, or the time is over.

    A thread of cancelled work runs until its next `raise_if_cancelled` or its next wait for the encoder. It holds its
    limiter slot until then, so cancelling never exceeds the thread limit.

    Args:
        request: a request whose body was read.
        limit_s: maximum time in seconds.

    Raises:
        ClientGoneError: the client disconnected.
        DeadlineError: the work took longer than `limit_s`.
    """
    cancellation, scope = _Cancellation(), anyio.CancelScope()

    async def run() -> T | None:
        _current_cancellation.set(cancellation)  # in this task and its threads alone
        with scope:
            return await work()
        return None

    task = asyncio.ensure_future(run())
    disconnected = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        either: set[asyncio.Future[Any]] = {task, disconnected}
        done, _ = await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()  # type: ignore[return-value]  # None only after cancelling
    finally:
        disconnected.cancel()
        if not task.done():
            cancellation.cancel()
            scope.cancel()
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # marks the exception as read
    if disconnected in done:
        raise ClientGoneError("the client disconnected")
    raise DeadlineError(f"there was no answer within {limit_s:.1f} s; try again", {"Retry-After": "1"})


def raise_if_cancelled() -> None:
    """Stop the work of this thread if its request was cancelled.

    Raises:
        ClientGoneError: the request was cancelled.
    """
    cancellation = _current_cancellation.get()
    if cancellation is not None and cancellation.cancelled:
        raise ClientGoneError("the request was cancelled")


@contextmanager
def cancelled_with_request(future: Future[Any]) -> Iterator[None]:
    """Cancel a future when the request of this thread is cancelled."""
    cancellation = _current_cancellation.get()
    if cancellation is None:
        yield
        return
    cancellation.add(future)
    try:
        yield
    finally:
        cancellation.discard(future)


async def _wait_for_disconnect(request: Request) -> None:
    """Wait until the client disconnects; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
