"""Low priority for a process that works beside searches of other processes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final

NICENESS: Final = 15
"""Raise of the niceness: beside busy searches, the process gets about 3 % of a processor; else all of it."""

_LANCE_THREADS: Final = "LANCE_CPU_THREADS"


def lower_priority(threads: int) -> None:
    """Let other processes come first, with all threads that this process has now and starts later.

    On Linux, niceness belongs to a thread, and threads inherit it from the thread that starts them. Those of libraries
    that are loaded already would stay as they are, so each thread is changed. The policy SCHED_BATCH keeps waking
    threads from interrupting those of searches.

    Args:
        threads: CPU threads of LanceDB for its joins and index builds, if it was not used yet and its own variable,
            LANCE_CPU_THREADS, is not set; without this limit, each write would use all processors.
    """
    os.environ.setdefault(_LANCE_THREADS, str(threads))
    if sys.platform != "linux":
        if hasattr(os, "nice"):
            with suppress(OSError):
                os.nice(NICENESS)
        return
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(OSError):  # it has ended, or the system forbids the change
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
        with suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
