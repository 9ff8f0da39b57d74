"""What a decoding child does to itself before it touches a file: its own pipes, limits of memory, time and threads."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import BinaryIO


def detach_standard_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move stdin and stdout out of the reach of C libraries: what they print goes to stderr."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def limit_process(memory_bytes: int) -> None:
    """Bound this process's address space, and leave Ctrl-C to the parent; no core files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):  # macOS does not limit address space
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def limit_threads() -> None:
    """Have pictures decoded in one thread: AVIF would take one for each CPU, HEIC four.

    The stack and the heap of each thread count as address space, so that a server with many CPUs would exceed the limit
    where a laptop does not. `child_process` limits the maths libraries, and each video decoder names its threads.
    """
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with contextlib.suppress(ImportError):  # an extra
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1


def limit_time(seconds: float) -> None:
    """End this process by SIGALRM, even inside C code, should the parent that kills it be gone."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)
