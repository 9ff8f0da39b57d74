"""Pictures of strangers, decoded in child processes: a hang, crash or memory blow-up costs that picture alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

from PIL import Image

from firstsight.media import wire
from firstsight.media.decoding_pool import DEFAULT_MEMORY_BYTES, DecodingPool
from firstsight.media.policy import DEFAULT_MAX_PIXELS


class PictureDecoder:
    """What `pictures.open_picture` does, in decoding children; for any number of threads.

    Args:
        workers: decoding children, at most; each takes one picture at a time.
        timeout_s: seconds for one picture; a child that takes longer is killed.
        memory_bytes: address space of a child (POSIX only).
        max_pixels: largest width x height, checked in the header before anything is decoded.
        files_per_child: pictures after which a child is replaced.
        command: what to start in place of the decoding child, for tests; it must speak `wire`.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        timeout_s: float = 30.0,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        files_per_child: int = 10_000,
        command: Sequence[str] | None = None,
    ) -> None:
        self._max_pixels = max_pixels
        self._pool = DecodingPool(
            workers=workers,
            timeout_s=timeout_s,
            memory_bytes=memory_bytes,
            files_per_child=files_per_child,
            command=command,
        )

    def __enter__(self) -> PictureDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for pictures in hand and end the children; opening after this raises RuntimeError."""
        self._pool.close()

    @property
    def child_pids(self) -> list[int]:
        """Process ids of the running children: none before the first picture."""
        return self._pool.child_pids

    def open(self, source: bytes | str | os.PathLike[str], *, min_side: int | None = None) -> Image.Image:
        """Decode one picture to upright RGB, transparency on white; of an animation, the first frame.

        Args:
            source: the file's bytes, or its path.
            min_side: as `pictures.open_picture` takes it.

        Raises:
            MediaError: "missing", "forbidden", "corrupt", "unsupported", "too_large", "timeout" or "crashed".
        """
        request: wire.Header = {"picture": True, "min_side": min_side, "max_pixels": self._max_pixels}
        if isinstance(source, bytes):
            return self._pool.ask(request, "the picture", _unpack, source)
        name = os.path.abspath(source)
        return self._pool.ask({**request, "path": name}, name, _unpack)


def _unpack(header: wire.Header, body: memoryview) -> Image.Image:
    width, height = header["size"]
    return Image.frombytes("RGB", (int(width), int(height)), body)
