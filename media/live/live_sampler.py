"""Sampler of a running stream: a frame every few seconds, through a child process that reconnects.

A dropped or stalled connection, a crash of FFmpeg or excessive memory ends only the current connection. docs/media.md,
"Live streams", lists the addresses that FFmpeg can reach.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_process import ChildDiedError, ChildHungError, ChildProcess
from firstsight.media.child_processes.decoding_pool import DEFAULT_MEMORY_BYTES
from firstsight.media.live.stream_clock import StreamClock
from firstsight.media.picture_facts import MAX_FACT_BYTES, FoundFacts, PictureFact, read_found
from firstsight.media.policy import MediaPolicy

SCHEMES: Final = ("http", "https", "rtsp", "rtsps")
"""Schemes of a stream's address. Any other source is a local file."""

MAX_WAITING_FRAMES: Final = 32
"""Maximum number of frames that wait for `take`. Beyond it a stream drops the oldest, and a file's decoder waits."""

_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_PERMANENT_REASONS: Final = frozenset({"forbidden", "unsupported", "too_large"})
# at the start a wrong address; later perhaps a server that restarts
_PERMANENT_REASONS_AT_START: Final = frozenset({"missing", "corrupt"})


@dataclass(frozen=True)
class LiveFrame:
    """One picture of a stream."""

    number: int  # 0, 1, 2, … across all connections
    time_s: float  # seconds from the first frame
    picture: Image.Image  # RGB, upright
    received_s: float  # time.monotonic() on arrival
    facts: FoundFacts | None = None  # None: no functions ran on it


class _FunctionsFailedError(Exception):
    """The functions for facts ended or hung the child, or needed too much memory."""


class LiveSampler:
    """Samples a stream in a background thread until the stream ends or is lost, or `close` is called.

    Args:
        source: an http(s) address (an HLS playlist or an endless video), an rtsp(s) address, or a local file. A file is
            sampled as fast as its frames are taken.
        every_s: seconds between two frames, on the stream's own clock.
        min_side: shrink frames by a whole factor while the shorter side keeps at least this number of pixels. Of a
            stream's variants, the smallest with that size is used.
        policy: only `allow_private` and `max_pixels` apply; to functions also `timeout_s`, if longer than `stall_s`.
        stall_s: seconds without a packet after which a connection is closed.
        reconnect_for_s: seconds without a new frame after which the stream counts as lost; 0 to never reconnect.
        on_event: called with a message, in the sampler's thread, when a connection is lost or the functions are turned
            off.
        memory_bytes: address space of the child (POSIX only).
        facts: functions to run in the child on each frame in full size. If they end or hang the child, the frame stays,
            and no functions run on later frames.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        every_s: float,
        min_side: int | None = None,
        policy: MediaPolicy | None = None,
        stall_s: float = 20.0,
        reconnect_for_s: float = 60.0,
        on_event: Callable[[str], None] = lambda event: None,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        facts: Sequence[PictureFact] = (),
    ) -> None:
        policy = policy or MediaPolicy()
        text = os.fspath(source)
        self.name = strip_credentials(text)
        self.live = text.partition("://")[0].lower() in SCHEMES
        address = {"url": text} if self.live else {"path": os.path.abspath(text)}
        self._facts = [fact for fact in facts if "frame" in fact.parts]
        self._functions_timeout_s = max(stall_s, policy.timeout_s) if self._facts else stall_s
        self._request: child_messages.Header = {
            **address,
            "name": self.name,
            "every_s": every_s,
            "min_side": min_side,
            "max_pixels": policy.max_pixels,
            "allow_private": policy.allow_private,
            "stall_s": stall_s,
            "functions_timeout_s": self._functions_timeout_s,
        }
        self._command = [sys.executable, "-P", "-m", "firstsight.media.live.live_worker", str(memory_bytes)]
        self._stall_s = stall_s
        self._reconnect_for_s = reconnect_for_s if self.live else 0.0
        self._on_event = on_event
        self._clock = StreamClock(every_s)
        self._changed = threading.Condition()
        self._waiting: deque[LiveFrame] = deque()
        self._child: ChildProcess | None = None
        self._closing = threading.Event()
        self._finished = False
        self._frames = 0
        self._pending: LiveFrame | None = None  # received, while functions run on it
        self._functions_running = False
        self._functions_ran = False  # in the current child
        self._pictures = 0  # received in the current connection
        self._pictures_to_skip = 0  # of a file that is read again
        self._thread_error: Exception | None = None  # raised by the sampler itself or by `on_event`
        self.error: MediaError | None = None  # the reason why the stream is lost
        self.reconnects = 0
        self.dropped = 0  # frames that were not taken in time
        self._thread = threading.Thread(target=self._run, name="firstsight-live", daemon=True)
        self._thread.start()

    def __enter__(self) -> LiveSampler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def ended(self) -> bool:
        """Whether all frames were taken and no more will come."""
        with self._changed:
            return self._finished and not self._waiting

    @property
    def child_pid(self) -> int | None:
        """Process id of the connected child; None if there is none."""
        child = self._child
        return child.pid if child else None

    def take(self, max_frames: int, timeout_s: float) -> list[LiveFrame]:
        """Take the waiting frames, oldest first; wait until there is one.

        Args:
            max_frames: maximum number of frames to return.
            timeout_s: seconds to wait for a frame.

        Returns:
            The frames; empty after `timeout_s` seconds without a frame, or at the end of the stream.

        Raises:
            MediaError: the stream is lost and gave no frame at all.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finished, timeout_s)
            taken = [self._waiting.popleft() for _ in range(min(max_frames, len(self._waiting)))]
            self._changed.notify_all()
            if self._thread_error is not None:
                raise self._thread_error
            if self._finished and self.error is not None and not self._frames:
                raise self.error
        return taken

    def close(self) -> None:
        """Close the connection. Waiting frames can still be taken."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            if self._child is not None:
                self._child.kill()
        self._thread.join()

    # ---- in the sampler's thread

    def _run(self) -> None:
        try:
            self._run_connections()
        except MediaError as error:
            self.error = error
        except Exception as error:  # for the thread in `take`, which would wait for ever
            self._thread_error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _run_connections(self) -> None:
        last_frame_s, tries = time.monotonic(), 0
        while not self._closing.is_set():
            before = self._frames
            try:
                self._run_connection()
                return
            except _FunctionsFailedError as error:
                if self._closing.is_set():
                    return
                self._turn_functions_off(str(error))
                last_frame_s, tries = time.monotonic(), 0
                self.reconnects += 1
                continue
            except MediaError as error:
                if self._closing.is_set():
                    return
                if self._frames > before:
                    last_frame_s, tries = time.monotonic(), 0
                self._raise_if_not_retryable(error, last_frame_s)
                delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**tries) * random.uniform(0.5, 1.5)  # noqa: S311
                delay = min(delay, max(0.0, last_frame_s + self._reconnect_for_s - time.monotonic()))
                self._on_event(f"{error}; trying again in {delay:.1f} s")
            tries += 1
            self._closing.wait(delay)
            self.reconnects += 1

    def _turn_functions_off(self, reason: str) -> None:
        """Go on without functions: the sampler cannot tell which of them failed."""
        names = ", ".join(fact.name for fact in self._facts)
        self._facts = []
        self._functions_timeout_s = self._stall_s
        if not self.live:
            self._pictures_to_skip = self._pictures
        self._on_event(
            f"{self.name}: the functions for facts ({names}) {reason}; the next frames get no facts, until: "
            "firstsight facts update"
        )

    def _raise_if_not_retryable(self, error: MediaError, last_frame_s: float) -> None:
        """Raise the error if another try is useless."""
        if (
            not self.live
            or error.reason in _PERMANENT_REASONS
            or (not self._frames and error.reason in _PERMANENT_REASONS_AT_START)
        ):
            raise error
        if time.monotonic() - last_frame_s >= self._reconnect_for_s:
            raise MediaError(
                error.reason, f"{error}; given up after {self._reconnect_for_s:g} seconds without a frame"
            ) from error

    def _run_connection(self) -> None:
        """Read one connection to the end of the stream.

        Raises:
            MediaError: the connection fails or is lost.
            _FunctionsFailedError: the functions for facts ended it.
        """
        child = None
        self._pictures, self._functions_running, self._functions_ran = 0, False, False
        try:
            child = ChildProcess(self._command)
            with self._changed:
                self._child = child
            if self._closing.is_set():  # `close` was called before the child existed
                return
            max_body = 3 * int(self._request["max_pixels"])
            max_body = max(max_body, 2 * MAX_FACT_BYTES * len(self._facts))
            request = {**self._request, "facts": [fact.to_request() for fact in self._facts]}
            header, body = child.ask(request, timeout_s=self._stall_s, max_body=max_body)
            data = bytes(body)
            while "ended" not in header:
                self._handle_message(header, data)
                timeout_s = self._functions_timeout_s if self._functions_running else self._stall_s
                header, data = child.listen(timeout_s=timeout_s, max_body=max_body)
            if header["lost"]:
                raise MediaError("unreachable", f"{self.name}: the server closed the connection")
        except MediaError as error:
            if error.reason == "too_large" and self._functions_ran:
                raise self._functions_failed("need too much memory") from error
            raise
        except ChildHungError:
            if self._functions_running:
                seconds = self._functions_timeout_s
                raise self._functions_failed(f"did not end within {seconds:g} seconds") from None
            raise MediaError("timeout", f"{self.name} sent nothing for {self._stall_s:g} seconds") from None
        except ChildDiedError as error:
            if self._functions_running:
                raise self._functions_failed(f"ended their process ({error.last_line})") from None
            raise MediaError("crashed", f"{self.name} ended its decoder ({error.last_line})") from None
        except (KeyError, TypeError, ValueError) as error:
            raise MediaError("crashed", f"{self.name}: the decoder answered with broken frames") from error
        finally:
            with self._changed:
                self._child = None
            if child is not None:
                child.close()
            self._deliver_pending(None)

    def _handle_message(self, header: child_messages.Header, data: bytes) -> None:
        child_messages.raise_failure(header)
        if "facts" in header:
            self._functions_running = False
            try:
                (found,) = child_messages.decode_facts(header, memoryview(data))
                facts = read_found(found, [fact.name for fact in self._facts], len(data))
            except (TypeError, ValueError) as error:
                raise self._functions_failed(f"gave a broken answer ({error})") from error
            self._deliver_pending(facts)
        if "size" not in header:
            return
        self._functions_running = self._functions_ran = bool(header["functions"])
        self._pictures += 1
        if self._pictures <= self._pictures_to_skip:
            return
        now = time.monotonic()
        time_s = self._clock.place(float(header["at"]), now, repeats=bool(header["hls"]))
        if time_s is None:
            return
        width, height = header["size"]
        picture = Image.frombytes("RGB", (int(width), int(height)), data)
        frame = LiveFrame(self._frames, time_s, picture, now)
        self._frames += 1
        if header["functions"]:
            self._pending = frame
        else:
            self._deliver(frame)

    def _functions_failed(self, reason: str) -> _FunctionsFailedError:
        """Deliver the frame that functions ran on, with an error for each of them; returns the exception to raise."""
        if not self._closing.is_set():  # else `close` has ended the child
            self._deliver_pending(FoundFacts.failed(self._facts, f"the functions for facts {reason}"))
        return _FunctionsFailedError(reason)

    def _deliver_pending(self, found: FoundFacts | None) -> None:
        """Deliver the frame that functions ran on, if there is one."""
        frame, self._pending = self._pending, None
        if frame is not None:
            self._deliver(replace(frame, facts=found))

    def _deliver(self, frame: LiveFrame) -> None:
        with self._changed:
            self._waiting.append(frame)
            if self.live and len(self._waiting) > MAX_WAITING_FRAMES:
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._waiting) <= MAX_WAITING_FRAMES or self._closing.is_set())


def strip_credentials(source: str) -> str:
    """Remove user name and password from a stream's address, for messages and tables. A file's path is unchanged."""
    with suppress(ValueError):
        parts = urlsplit(source)
        if parts.scheme.lower() in SCHEMES and "@" in parts.netloc:
            return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return source
