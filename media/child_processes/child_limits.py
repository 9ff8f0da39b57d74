"""Limits that a decoding child sets for itself before it opens a file: pipes, memory, time and threads."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import BinaryIO


def detach_standard_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move stdin and stdout to new descriptors, out of reach of C libraries. Their output goes to stderr.

    Returns:
        The stream of requests and the stream of answers.
    """
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def limit_process(memory_bytes: int) -> None:
    """Limit this process's address space, ignore Ctrl-C and write no core files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent handles it
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):  # macOS does not limit address space
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def limit_threads() -> None:
    """Decode pictures in one thread. By default AVIF starts one thread per CPU, and HEIC starts four.

    The stack and the heap of each thread count as address space: a server with many CPUs would exceed a limit that a
    laptop keeps. `child_process` limits the maths libraries, and each video decoder sets its own threads.
    """
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with contextlib.suppress(ImportError):  # an optional extra
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1


def limit_time(seconds: float) -> None:
    """End this process by SIGALRM after `seconds`, even inside C code; 0 removes the limit.

    Usually the parent kills a child that takes too long. This limit works even after the parent has gone.
    """
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)
