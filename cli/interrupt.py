"""Ctrl-C in commands that finish the current step first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from firstsight.cli.output import print_message


class Interrupt:
    """Handle Ctrl-C: before the work begins it ends the command; later the first one requests a stop.

    Args:
        remaining_step: the step that still finishes, printed after the first Ctrl-C.
    """

    def __init__(self, remaining_step: str) -> None:
        self._remaining_step = remaining_step
        self._begun = False
        self.stop_requested = False

    def begin(self) -> None:
        """Mark the work as begun."""
        self._begun = True

    def should_stop(self) -> bool:
        """Whether to stop."""
        return self.stop_requested

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle SIGINT inside the block."""
        previous = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.stop_requested or not self._begun:
            raise KeyboardInterrupt
        self.stop_requested = True
        print_message(f"stopping: {self._remaining_step}; press Ctrl-C again to stop now")
