"""Decoding of untrusted pictures in child processes: a hang, crash or excessive memory fails only that picture."""

from __future__ import annotations

import os

from PIL import Image

from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.decoding_pool import PooledDecoder


class PictureDecoder(PooledDecoder):
    """Does the work of `pictures.open_picture` in decoding children."""

    _FILES_PER_CHILD = 10_000

    def open(self, source: bytes | str | os.PathLike[str], *, min_side: int | None = None) -> Image.Image:
        """Decode one picture to upright RGB with transparency on white. Of an animation, decode the first frame.

        Args:
            source: the file's bytes, or its path.
            min_side: as for `pictures.open_picture`.

        Raises:
            MediaError: as for `pictures.open_picture`; also "timeout" if decoding takes longer than `timeout_s`, and
                "crashed" if the child ends.
            RuntimeError: the decoder is closed.
        """
        request: child_messages.Header = {"picture": True, "min_side": min_side, "max_pixels": self._max_pixels}
        if isinstance(source, bytes):
            return self._pool.ask(request, "the picture", _unpack, source)
        name = os.path.abspath(source)
        return self._pool.ask({**request, "path": name}, name, _unpack)


def _unpack(header: child_messages.Header, body: memoryview) -> Image.Image:
    width, height = header["size"]
    return Image.frombytes("RGB", (int(width), int(height)), body)
