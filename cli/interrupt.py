"""Ctrl-C in commands that end what they have in hand."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from firstsight.cli.output import tell


class Interrupt:
    """Ctrl-C: before the work begins it ends the command; in it, the first one asks it to stop.

    Args:
        promise: what is done before it stops, said after the first Ctrl-C.
    """

    def __init__(self, promise: str) -> None:
        self._promise = promise
        self._working = False
        self.asked = False

    def begin(self) -> None:
        """The work has begun."""
        self._working = True

    def should_stop(self) -> bool:
        """Whether the work was asked to stop."""
        return self.asked

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take over SIGINT for a while."""
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.asked or not self._working:
            raise KeyboardInterrupt
        self.asked = True
        tell(f"stopping: {self._promise}; Ctrl-C again to stop at once")
