"""Limits of the threads of numerical libraries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS compute on one thread inside the context, for fits of many small matrices.

    The threads of BLAS mostly wait for each other there, and they wait by spinning: where other programs use the
    processors as well, a fit of six CPU seconds took 200 seconds. The limit holds for the whole process, and for
    libraries that are loaded by then; results are equal. It is also a decorator of functions.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
