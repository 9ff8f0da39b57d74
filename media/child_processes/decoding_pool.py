"""Decoding children: a few processes that each decode one file at a time, for any number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from queue import LifoQueue
from types import TracebackType
from typing import ClassVar, Final, Self, TypeVar

from firstsight.errors import FAILURE_REASONS, MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_process import ChildDiedError, ChildHungError, ChildProcess
from firstsight.media.policy import DEFAULT_MAX_PIXELS

DEFAULT_MEMORY_BYTES: Final = 3 * 2**30
"""Address space of one decoding child."""

_MAX_ANSWER_BYTES: Final = 2 * 2**30

T = TypeVar("T")


class DecodingPool:
    """Up to `workers` children, started when needed, replaced when lost and after their share of files.

    A hang, a crash or a memory blow-up costs the file it happened on. The child last used is used first, so that a
    single thread keeps to one.

    Args:
        workers: files decoded at the same time, at least 1.
        timeout_s: seconds for one file; a child that takes longer is killed.
        memory_bytes: address space of a child (POSIX only).
        files_per_child: files after which a child is replaced, since decoders leak.
        command: what to start in place of the decoding child, for tests; it must speak `wire`.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_s: float,
        memory_bytes: int,
        files_per_child: int,
        command: Sequence[str] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}; at least 1 decoding child is needed")
        # -P: a decord.py in the working directory is not the decoder.
        command = command or [sys.executable, "-P", "-m", "firstsight.media.decode.decoding_worker", str(memory_bytes)]
        self._slots = [_Slot(command, timeout_s, files_per_child) for _ in range(workers)]
        self._free: LifoQueue[_Slot] = LifoQueue()
        for slot in self._slots:
            self._free.put(slot)
        self._closed = False

    @property
    def child_pids(self) -> list[int]:
        """Process ids of the children that are running."""
        return [pid for slot in self._slots if (pid := slot.pid) is not None]

    def close(self) -> None:
        """Wait for the files in hand and end the children; asking after this raises RuntimeError."""
        self._closed = True
        slots = [self._free.get() for _ in self._slots]
        for slot in slots:
            slot.drop_child()
            self._free.put(slot)

    def ask(
        self,
        request: child_messages.Header,
        name: str,
        unpack: Callable[[child_messages.Header, memoryview], T],
        body: bytes = b"",
    ) -> T:
        """Have one file decoded; waits until a child is free.

        Args:
            request: as `video_worker` takes it, less the time limit.
            name: of the file, for messages.
            unpack: makes pictures of an answer's header and body, which is gone afterwards; what it raises as
                KeyError, TypeError or ValueError is the child's fault.
            body: the file's bytes, where the request has no path.

        Returns:
            What `unpack` made of the answer.

        Raises:
            MediaError: what the child said, or "timeout", "crashed" or "too_large" when it said nothing.
        """
        slot = self._free.get()
        try:
            if self._closed:
                raise RuntimeError("this decoder is closed; make a new one")
            header, answer = slot.ask(request, name, body)
            if "reason" in header:
                reason = header["reason"]
                raise MediaError(reason if reason in FAILURE_REASONS else "crashed", str(header.get("message")))
            return unpack(header, answer)
        except (KeyError, TypeError, ValueError) as error:
            message = f"{name} made its decoder answer with broken frames; check that it opens"
            raise MediaError("crashed", message) from error
        finally:
            self._free.put(slot)


class PooledDecoder:
    """A decoder for any number of threads; each child takes one file at a time.

    Args:
        workers: decoding children, at most.
        timeout_s: seconds for one file; a child that takes longer is killed.
        memory_bytes: address space of a child (POSIX only).
        max_pixels: largest width x height of a picture or frame.
        files_per_child: files after which a child is replaced, since decoders leak; None for what is usual.
        command: what to start in place of the decoding child, for tests; it must speak `wire`.
    """

    _FILES_PER_CHILD: ClassVar[int]

    def __init__(
        self,
        *,
        workers: int = 2,
        timeout_s: float = 30.0,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        files_per_child: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._max_pixels = max_pixels
        self._pool = DecodingPool(
            workers=workers,
            timeout_s=timeout_s,
            memory_bytes=memory_bytes,
            files_per_child=files_per_child or self._FILES_PER_CHILD,
            command=command,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for files in hand and end the children; decoding after this raises RuntimeError."""
        self._pool.close()

    @property
    def child_pids(self) -> list[int]:
        """Process ids of the running children: none before the first file."""
        return self._pool.child_pids


class _Slot:
    """The place of one child; for one thread at a time."""

    def __init__(self, command: Sequence[str], timeout_s: float, files_per_child: int) -> None:
        self._command = command
        self._timeout_s = timeout_s
        self._files_per_child = files_per_child
        self._child: ChildProcess | None = None
        self._files = 0

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child else None

    def drop_child(self) -> None:
        if self._child:
            self._child.close()
        self._child = None

    def ask(self, request: child_messages.Header, name: str, body: bytes) -> tuple[child_messages.Header, memoryview]:
        try:
            child = self._ready_child()
            self._files += 1
            limits = {"timeout_s": self._timeout_s}
            return child.ask({**request, **limits}, body, timeout_s=self._timeout_s, max_body=_MAX_ANSWER_BYTES)
        except ChildHungError as error:
            self._child = None
            raise MediaError(
                "timeout", f"{name} was not decoded within {self._timeout_s:g} seconds; check that it opens"
            ) from error
        except ChildDiedError as error:
            self._child = None
            noise = str(error)
            if "bad_alloc" in noise or "MemoryError" in noise:
                raise MediaError(
                    "too_large", f"{name} needs more memory than a decoder may use; make it smaller"
                ) from error
            last = next((line.strip() for line in reversed(noise.splitlines()) if line.strip()), "no message")
            raise MediaError("crashed", f"{name} ended its decoder ({last[:120]}); check that it opens") from error
        except BaseException:
            self._child = None
            raise

    def _ready_child(self) -> ChildProcess:
        if self._child and (self._files >= self._files_per_child or not self._child.alive):
            self.drop_child()
        if self._child is None:
            self._child = ChildProcess(self._command)
            self._files = 0
        return self._child
