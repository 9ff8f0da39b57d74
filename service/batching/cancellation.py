"""Work for a request, as long as somebody waits for its answer: given up when the client hangs up or time is over."""

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
    """Nobody waits for the answer any more."""

    status, code = 499, "client_gone"


class _Cancellation:
    """What threads wait for on behalf of one request, to be cancelled with it."""

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
    """Do some work until it is done, its client hangs up, or its time is over.

    What the work does in threads goes on to the next `raise_if_cancelled` or wait for the encoder, and keeps its place
    in limiters as long: giving up never lets in more threads than there may be.

    Args:
        request: whose body has been read.
        limit_s: seconds.

    Raises:
        ClientGoneError, DeadlineError: it was given up.
    """
    cancellation, scope = _Cancellation(), anyio.CancelScope()

    async def run() -> T | None:
        _current_cancellation.set(cancellation)  # in this task and its threads alone
        with scope:
            return await work()
        return None

    task = asyncio.ensure_future(run())
    gone = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        either: set[asyncio.Future[Any]] = {task, gone}
        done, _ = await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()  # type: ignore[return-value]  # None only once it was given up
    finally:
        gone.cancel()
        if not task.done():
            cancellation.cancel()
            scope.cancel()
            task.add_done_callback(lambda left: left.cancelled() or left.exception())  # nobody else will look at it
    if gone in done:
        raise ClientGoneError("the client has gone")
    raise DeadlineError(f"there was no answer within {limit_s:.1f} s: try again", {"Retry-After": "1"})


def raise_if_cancelled() -> None:
    """Give up here, in a thread, where nobody waits any more.

    Raises:
        ClientGoneError: the request was given up.
    """
    cancellation = _current_cancellation.get()
    if cancellation is not None and cancellation.cancelled:
        raise ClientGoneError("nobody waits for the answer")


@contextmanager
def cancelled_with_request(future: Future[Any]) -> Iterator[None]:
    """Have a future cancelled when the request that this thread works for is given up."""
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
    """Wait until the client hangs up; the body has been read by now."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
