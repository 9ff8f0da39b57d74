"""A service's threads share a few heaps of the C library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from firstsight.service.protocol.malloc_arenas import ARENAS

THREADS = """
import ctypes, io, os, re, threading
from firstsight.service.protocol.malloc_arenas import limit_arenas
limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
together = threading.Barrier(12)
def work():
    together.wait()
    for _ in range(1000):
        libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has arenas")
def test_many_threads_use_few_heaps() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert 1 <= done.stderr.count("Arena ") <= ARENAS
