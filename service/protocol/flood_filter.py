"""Logging filter that limits messages that clients can cause to one per second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

_FLOODS: Final = (
    "socket.accept() out of system resource",  # asyncio retries once for each connection of its backlog
    "Exception in callback BaseSelectorEventLoop._accept_connection",
    "Invalid HTTP request received.",
    "Unsupported upgrade request.",
    "No supported WebSocket library detected.",
)

EVERY_S: Final = 1.0


class FloodFilter(logging.Filter):
    """Pass each of these messages once per second, as one line without traceback, with a count of the dropped ones."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record."""
        if record.name.startswith("firstsight."):
            return True
        message = record.getMessage()
        flood = next((start for start in _FLOODS if message.startswith(start)), None)
        if flood is None:
            return True
        now = self._clock()
        if now < self._next.get(flood, now):
            self._left_out[flood] = self._left_out.get(flood, 0) + 1
            return False
        self._next[flood] = now + EVERY_S
        left_out = self._left_out.pop(flood, 0)
        cause = f": {record.exc_info[1]}" if record.exc_info else ""
        more = f" ({left_out} more since the last line)" if left_out else ""
        record.msg, record.args, record.exc_info = f"{flood}{cause}{more}", None, None
        record.exc_text = None
        return True
