"""Small computations of torch on one thread each.

The matrices of a bridge are so small that the threads of OpenMP mostly wait for each other, and they wait by spinning.
Where other programs use the processors as well, a tuning took ten times the CPU time on two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


def run_single_threaded(jobs: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """Run jobs of torch in threads of their own, in each of which torch computes on one thread.

    Args:
        jobs: one or more; they share no state that they write.
        workers: jobs that run at one time.

    Returns:
        The results in the order of the jobs. An error of a job is raised.
    """
    before = torch.get_num_threads()
    size = max(1, min(len(jobs), workers))
    try:
        with ThreadPoolExecutor(size, "firstsight-tune", initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return [future.result() for future in [pool.submit(job) for job in jobs]]
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let torch compute on one thread inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
