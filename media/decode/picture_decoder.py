"""Pictures of strangers, decoded in child processes: a hang, crash or memory blow-up costs that picture alone."""

from __future__ import annotations

import os

from PIL import Image

from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.decoding_pool import PooledDecoder


class PictureDecoder(PooledDecoder):
    """What `pictures.open_picture` does, in decoding children."""

    _FILES_PER_CHILD = 10_000

    def open(self, source: bytes | str | os.PathLike[str], *, min_side: int | None = None) -> Image.Image:
        """Decode one picture to upright RGB, transparency on white; of an animation, the first frame.

        Args:
            source: the file's bytes, or its path.
            min_side: as `pictures.open_picture` takes it.

        Raises:
            MediaError: "missing", "forbidden", "corrupt", "unsupported", "too_large", "timeout" or "crashed".
        """
        request: child_messages.Header = {"picture": True, "min_side": min_side, "max_pixels": self._max_pixels}
        if isinstance(source, bytes):
            return self._pool.ask(request, "the picture", _unpack, source)
        name = os.path.abspath(source)
        return self._pool.ask({**request, "path": name}, name, _unpack)


def _unpack(header: child_messages.Header, body: memoryview) -> Image.Image:
    width, height = header["size"]
    return Image.frombytes("RGB", (int(width), int(height)), body)
