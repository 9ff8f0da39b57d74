"""A pool of decoding children: each decodes one file at a time, for any number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from queue import LifoQueue
from types import TracebackType
from typing import ClassVar, Final, Self, TypeVar

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_process import ChildDiedError, ChildHungError, ChildProcess
from firstsight.media.picture_facts import FoundFacts, PictureFact, read_found
from firstsight.media.policy import DEFAULT_MAX_PIXELS

DEFAULT_MEMORY_BYTES: Final = 3 * 2**30
"""Address space of one decoding child."""

_MAX_ANSWER_BYTES: Final = 2 * 2**30

T = TypeVar("T")


class DecodingPool:
    """Up to `workers` children, started on demand and replaced after a crash and after a number of files.

    A hang, a crash or excessive memory fails only the current file. The pool prefers the child used last, so a single
    thread uses one child.

    Args:
        workers: number of children, 1 or more.
        timeout_s: seconds for one file; a child that takes longer is killed.
        memory_bytes: address space of a child (POSIX only).
        files_per_child: number of files after which a child is replaced, because decoders leak memory.
        command: command to start instead of the decoding child, for tests; it must use `child_messages`.

    Raises:
        ValueError: `workers` is below 1.
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
            raise ValueError(f"workers is {workers}; use 1 or more")
        # -P: never import a decord.py from the working directory
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
        """Wait for the current files and end the children. Later requests raise RuntimeError."""
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
        """Decode one file in a child; wait until a child is free.

        Args:
            request: a request to `decoding_worker`, without the time limit.
            name: name of the file, for messages.
            unpack: turns an answer's header and body into a result. It must copy the body. KeyError, TypeError and
                ValueError from it count as a broken answer.
            body: the file's bytes, if the request has no path.

        Returns:
            The result of `unpack`.

        Raises:
            MediaError: the child's own error; or "timeout" if it takes longer than `timeout_s`, "too_large" if it
                runs out of memory, "crashed" if it ends or its answer is broken.
            RuntimeError: the pool is closed.
        """
        slot = self._free.get()
        try:
            if self._closed:
                raise RuntimeError("this decoder is closed; make a new one")
            header, answer = slot.ask(request, name, body)
            child_messages.raise_failure(header)
            return unpack(header, answer)
        except (KeyError, TypeError, ValueError) as error:
            message = f"{name}: the decoder answered with broken frames; check that the file opens"
            raise MediaError("crashed", message) from error
        finally:
            self._free.put(slot)


class PooledDecoder:
    """Base class of decoders that work in child processes. Any number of threads may share a decoder.

    Args:
        workers: maximum number of children; each decodes one file at a time.
        timeout_s: seconds for one file; a child that takes longer is killed.
        memory_bytes: address space of a child (POSIX only).
        max_pixels: largest width x height of a picture or frame.
        files_per_child: number of files after which a child is replaced, because decoders leak memory; None for the
            default of the decoder.
        command: command to start instead of the decoding child, for tests; it must use `child_messages`.
        facts: functions that will run in the children; some need a new child after fewer files.

    Raises:
        ValueError: `workers` is below 1.
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
        facts: Sequence[PictureFact] = (),
    ) -> None:
        self._max_pixels = max_pixels
        self._pool = DecodingPool(
            workers=workers,
            timeout_s=timeout_s,
            memory_bytes=memory_bytes,
            files_per_child=fewest_files(facts, files_per_child or self._FILES_PER_CHILD),
            command=command,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the current files and end the children. Decoding after this raises RuntimeError."""
        self._pool.close()

    @property
    def child_pids(self) -> list[int]:
        """Process ids of the running children; empty before the first file."""
        return self._pool.child_pids


def unpack_facts(
    header: child_messages.Header, body: memoryview, facts: Sequence[PictureFact], pictures: int = 1
) -> list[FoundFacts]:
    """Read the facts at the end of an answer, for each of its pictures.

    Raises:
        KeyError, TypeError, ValueError: the answer is broken.
    """
    found = child_messages.decode_facts(header, body)
    if len(found) != pictures:
        raise ValueError(f"facts of {len(found)} pictures for {pictures}")
    names = [fact.name for fact in facts]
    return [read_found(of_picture, names, int(header["facts"]) // max(1, pictures)) for of_picture in found]


def fewest_files(facts: Sequence[PictureFact], default: int) -> int:
    """Number of files after which a child is replaced that runs these functions; at most `default`."""
    return min([default, *(fact.files_per_child for fact in facts if fact.files_per_child is not None)])


class _Slot:
    """A slot for one child; used by one thread at a time."""

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
                "timeout", f"{name} was not decoded within {self._timeout_s:g} seconds; check that the file opens"
            ) from error
        except ChildDiedError as error:
            self._child = None
            stderr = str(error)
            if "bad_alloc" in stderr or "MemoryError" in stderr:
                raise MediaError(
                    "too_large", f"{name} needs more memory than a decoder may use; make it smaller"
                ) from error
            message = f"{name} ended its decoder ({error.last_line}); check that the file opens"
            raise MediaError("crashed", message) from error
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
