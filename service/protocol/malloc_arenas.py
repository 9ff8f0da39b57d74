"""Memory of a process that runs for months."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

ARENAS: Final = 2
"""Heaps that glibc divides its threads among; by default eight for each CPU."""

_M_ARENA_MAX: Final = -8  # of malloc.h


def limit_arenas() -> None:
    """Have glibc divide the threads of this process among a few heaps, where the C library is glibc.

    Each heap keeps holes that only its own threads can use, and LanceDB, decoding and requests have many threads: 600
    writes left 65 MB of holes by default, 16 MB in one heap (docs/benchmarks.md). Call this before threads start.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, ARENAS)
