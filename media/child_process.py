"""A child process that may hang, crash or be killed without its parent noticing more than an exception."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final

from firstsight.media import wire

START_TIMEOUT_S: Final = 60.0
"""Seconds a child gets to say that it is ready: importing takes 0.5 s on an idle machine."""

_KEPT_NOISE: Final = 4096
_PIPE_BYTES: Final = 2**20  # a picture in two pieces, not in thirty; what only Linux can set is ignored elsewhere


class ChildDiedError(Exception):
    """The child ended without an answer; the message is the end of what it wrote to stderr."""


class ChildHungError(Exception):
    """The child did not answer in time and was killed."""


class ChildProcess:
    """One child that answers `wire` messages on its stdin with `wire` messages on its stdout, one at a time.

    The child's first message says that it is ready. Its stderr is read and dropped but for its end. Not for
    several threads at once.

    Raises:
        ChildDiedError, ChildHungError: it did not start.
    """

    def __init__(self, command: Sequence[str], *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            pipesize=_PIPE_BYTES,
        )
        self._noise = bytearray()
        self._drain = threading.Thread(target=self._read_noise, name="firstsight-child-stderr", daemon=True)
        self._drain.start()
        self._talk(None, b"", start_timeout_s, 0)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child can still be asked."""
        return self._process.poll() is None

    def ask(
        self, header: wire.Header, body: bytes = b"", *, timeout_s: float, max_body: int
    ) -> tuple[wire.Header, bytes]:
        """Send one message and wait for its answer; after an exception the child is gone.

        Raises:
            ChildDiedError: it ended, or answered something that is not a message.
            ChildHungError: it had not answered after `timeout_s` seconds.
        """
        return self._talk(header, body, timeout_s, max_body)

    def close(self) -> None:
        """Let the child end by itself, or kill it when it takes longer than a moment."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # unsent bytes for a child that is gone
            self._process.stdin.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _talk(
        self, header: wire.Header | None, body: bytes, timeout_s: float, max_body: int
    ) -> tuple[wire.Header, bytes]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        # Killing the child ends the blocking calls below; pipes cannot be waited on with a limit on every platform.
        timer = threading.Timer(timeout_s, expire)
        timer.daemon = True
        timer.start()
        try:
            if header is not None:
                wire.send(self._process.stdin, header, [body])
            answer = wire.receive(self._process.stdout, max_body=max_body)
        except (EOFError, ValueError, OSError) as error:
            words = self._last_words()
            if expired.is_set():
                raise ChildHungError(words) from error
            raise ChildDiedError(words) from error
        except BaseException:  # Ctrl-C in mid-answer: the rest of it would be taken for the next one
            self._last_words()
            raise
        finally:
            timer.cancel()
        return answer

    def _last_words(self) -> str:
        self._process.kill()
        self._reap()
        return self._noise.decode("utf-8", "replace")

    def _reap(self) -> None:
        self._process.wait()
        self._drain.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # unsent bytes for a child that is gone
                    stream.close()

    def _read_noise(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), _KEPT_NOISE):
            self._noise += chunk
            del self._noise[:-_KEPT_NOISE]


def _environment() -> dict[str, str]:
    """The parent's environment and import path, one thread for each maths library."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
