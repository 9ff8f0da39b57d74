"""A child process that may hang, crash or be killed: its parent only gets an exception."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from firstsight.media.child_processes import child_messages

START_TIMEOUT_S: Final = 60.0
"""Seconds within which a child must report that it is ready. Imports take 0.5 s on an idle machine."""

SHARED_MEMORY: Final = "FIRSTSIGHT_SHARED_MEMORY"
"""Environment variable: file descriptor of memory shared with the child, for its answers; empty without such memory."""

SHARED_LENGTH: Final = "in_shared_memory"
"""Key of an answer's header: length in bytes of the body in shared memory."""

WORKING: Final = "working"
"""Key of the header of a message that is no answer: the child still works, and its time limit starts again."""

MAX_TIMEOUTS: Final = 20
"""Largest total time of one answer, as a multiple of the time limit, for a child that reports that it still works."""

# Returning memory to the system after every picture causes page faults: two thirds of the time of an 800 x 800 JPEG.
_KEEP_FREED_MEMORY: Final = {
    "PILLOW_BLOCKS_MAX": "8",
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_ARENA_MAX": "2",  # each thread's arena takes 64 MB of the child's address space
}
# For every maths library that NumPy may be built with. One thread per CPU would use up the child's address space.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_SHARED_BYTES: Final = 32 * 2**20
_STDERR_TAIL_BYTES: Final = 4096
_PIPE_BYTES: Final = 2**20  # a picture is sent in two pieces instead of thirty; ignored outside Linux


class ChildDiedError(Exception):
    """The child ended without an answer. The message is the end of its stderr."""

    @property
    def last_line(self) -> str:
        """The last line of the child's stderr, at most 120 characters."""
        lines = [line.strip() for line in str(self).splitlines() if line.strip()]
        return lines[-1][:120] if lines else "no message"


class ChildHungError(Exception):
    """The child did not answer in time and was killed."""


class ChildProcess:
    """A child that reads messages from stdin and answers each on stdout (`child_messages`).

    The child's first message says that it is ready. Only the end of its stderr is kept. Use it from one thread at a
    time.

    Raises:
        ChildDiedError: the child ends before it is ready.
        ChildHungError: the child is not ready after `start_timeout_s` seconds.
    """

    def __init__(self, command: Sequence[str], *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self._shared, descriptor = _shared_memory()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**_environment(), SHARED_MEMORY: "" if descriptor is None else str(descriptor)},
            pipesize=_PIPE_BYTES,
            pass_fds=() if descriptor is None else (descriptor,),
        )
        if descriptor is not None:
            os.close(descriptor)  # the child has its own copy, and the mapping stays valid
        self._stderr_tail = bytearray()
        self._stderr_thread = threading.Thread(target=self._read_stderr, name="firstsight-child-stderr", daemon=True)
        self._stderr_thread.start()
        self._talk(None, b"", start_timeout_s, 0)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._process.poll() is None

    def ask(
        self, header: child_messages.Header, body: bytes = b"", *, timeout_s: float, max_body: int
    ) -> tuple[child_messages.Header, memoryview]:
        """Send one message and wait for the answer. After an exception the child is gone.

        Args:
            timeout_s: seconds to wait for the answer, or for the next report that the child still works; at most
                `MAX_TIMEOUTS` times in all.
            max_body: longest body of an answer through the pipe, in bytes.

        Returns:
            The answer's header and body. The next answer may overwrite the body.

        Raises:
            ChildDiedError: the child ends, or its answer is not a message.
            ChildHungError: the child neither answers nor reports within `timeout_s` seconds.
        """
        deadline = time.monotonic() + MAX_TIMEOUTS * timeout_s
        answer, sent = self._talk(header, body, timeout_s, max_body)
        while WORKING in answer:
            left_s = max(0.001, deadline - time.monotonic())
            answer, sent = self._talk(None, b"", min(timeout_s, left_s), max_body)
        length = answer.pop(SHARED_LENGTH, None)
        if length is None or self._shared is None:
            return answer, memoryview(sent)
        return answer, memoryview(self._shared)[:length]

    def listen(self, *, timeout_s: float, max_body: int) -> tuple[child_messages.Header, bytes]:
        """Wait for the child's next message, without a request.

        Raises:
            ChildDiedError: the child ends, or sends bytes that are not a message.
            ChildHungError: no message comes within `timeout_s` seconds.
        """
        return self._talk(None, b"", timeout_s, max_body)

    def kill(self) -> None:
        """Kill the child at once, from any thread. A thread that waits for an answer gets ChildDiedError."""
        self._process.kill()

    def close(self) -> None:
        """Let the child end by itself; kill it after one second."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # unsent bytes for a child that is gone
            self._process.stdin.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _talk(
        self, header: child_messages.Header | None, body: bytes, timeout_s: float, max_body: int
    ) -> tuple[child_messages.Header, bytes]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        # Killing the child ends the blocking calls below. Not every platform can read a pipe with a time limit.
        timer = threading.Timer(timeout_s, expire)
        timer.daemon = True
        timer.start()
        try:
            if header is not None:
                child_messages.send(self._process.stdin, header, [body])
            answer = child_messages.receive(self._process.stdout, max_body=max_body)
        except (EOFError, ValueError, OSError) as error:
            stderr = self._kill_and_read_stderr()
            if expired.is_set():
                raise ChildHungError(stderr) from error
            raise ChildDiedError(stderr) from error
        except BaseException:  # Ctrl-C during an answer: its rest would be read as the next answer
            self._kill_and_read_stderr()
            raise
        finally:
            timer.cancel()
        return answer

    def _kill_and_read_stderr(self) -> str:
        self._process.kill()
        self._reap()
        return self._stderr_tail.decode("utf-8", "replace")

    def _reap(self) -> None:
        self._process.wait()
        self._stderr_thread.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # unsent bytes for a child that is gone
                    stream.close()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), _STDERR_TAIL_BYTES):
            self._stderr_tail += chunk
            del self._stderr_tail[:-_STDERR_TAIL_BYTES]


def _shared_memory() -> tuple[mmap.mmap | None, int | None]:
    """Memory to share with a child, and its descriptor. Linux only. A pipe would copy the pixels two more times."""
    if sys.platform != "linux":
        return None, None
    descriptor = os.memfd_create("firstsight")
    os.ftruncate(descriptor, _SHARED_BYTES)
    return mmap.mmap(descriptor, _SHARED_BYTES), descriptor


def _environment() -> dict[str, str]:
    """The parent's environment and import path; one thread per maths library; freed memory is kept for reuse."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**_KEEP_FREED_MEMORY, **os.environ, "PYTHONPATH": path, **_ONE_THREAD}
