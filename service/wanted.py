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

from firstsight.service.batch_signals import DeadlineError
from firstsight.service.errors import ServiceError

T = TypeVar("T")


class ClientGoneError(ServiceError):
    """Nobody waits for the answer any more."""

    status, code = 499, "client_gone"


class _Wanted:
    """What threads wait for on behalf of one request, to be cancelled with it."""

    def __init__(self) -> None:
        self.given_up = False
        self._futures: set[Future[Any]] = set()
        self._lock = threading.Lock()

    def add(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.add(future)
            if self.given_up:
                future.cancel()

    def discard(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)

    def give_up(self) -> None:
        with self._lock:
            self.given_up = True
            for future in self._futures:
                future.cancel()


_wanted: ContextVar[_Wanted | None] = ContextVar("wanted", default=None)


async def while_wanted(request: Request, limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work until it is done, its client hangs up, or its time is over.

    What the work does in threads goes on to the next `must_be_wanted` or wait for the encoder, and keeps its place in
    limiters as long: giving up never lets in more threads than there may be.

    Args:
        request: whose body has been read.
        limit_s: seconds.

    Raises:
        ClientGoneError, DeadlineError: it was given up.
    """
    wanted, scope = _Wanted(), anyio.CancelScope()

    async def run() -> T | None:
        _wanted.set(wanted)  # in this task and its threads alone
        with scope:
            return await work()
        return None

    task = asyncio.ensure_future(run())
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        either: set[asyncio.Future[Any]] = {task, gone}
        done, _ = await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()  # type: ignore[return-value]  # None only once it was given up
    finally:
        gone.cancel()
        if not task.done():
            wanted.give_up()
            scope.cancel()
            task.add_done_callback(lambda left: left.cancelled() or left.exception())  # nobody else will look at it
    if gone in done:
        raise ClientGoneError("the client has gone")
    raise DeadlineError(f"there was no answer within {limit_s:.1f} s: try again", {"Retry-After": "1"})


def must_be_wanted() -> None:
    """Give up here, in a thread, where nobody waits any more.

    Raises:
        ClientGoneError: the request was given up.
    """
    wanted = _wanted.get()
    if wanted is not None and wanted.given_up:
        raise ClientGoneError("nobody waits for the answer")


@contextmanager
def waiting_for(future: Future[Any]) -> Iterator[None]:
    """Have a future cancelled when the request that this thread works for is given up."""
    wanted = _wanted.get()
    if wanted is None:
        yield
        return
    wanted.add(future)
    try:
        yield
    finally:
        wanted.discard(future)


async def _until_gone(request: Request) -> None:
    """Wait until the client hangs up; the body has been read by now."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
