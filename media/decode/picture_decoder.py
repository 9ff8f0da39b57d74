"""Decoding of untrusted pictures in child processes: a hang, crash or excessive memory fails only that picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from PIL import Image

from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.decoding_pool import PooledDecoder, unpack_facts
from firstsight.media.picture_facts import FoundFacts, PictureFact

T = TypeVar("T")


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
        return self._ask(source, min_side, (), _unpack)

    def open_with_facts(
        self, source: bytes | str | os.PathLike[str], facts: Sequence[PictureFact], *, min_side: int | None = None
    ) -> tuple[Image.Image, FoundFacts]:
        """Decode one picture as `open` does, and run functions on it in the child.

        Args:
            facts: at least one. The picture is decoded once, at the largest size that they and `min_side` need.

        Raises:
            MediaError: as for `open`; a function that hangs, ends the child or uses too much memory raises the same.
            RuntimeError: the decoder is closed.
        """

        def unpack(header: child_messages.Header, body: memoryview) -> tuple[Image.Image, FoundFacts]:
            (found,) = unpack_facts(header, body, facts)
            return _unpack(header, body[: -int(header["facts"])]), found

        return self._ask(source, min_side, facts, unpack)

    def _ask(
        self,
        source: bytes | str | os.PathLike[str],
        min_side: int | None,
        facts: Sequence[PictureFact],
        unpack: Callable[[child_messages.Header, memoryview], T],
    ) -> T:
        request: child_messages.Header = {"picture": True, "min_side": min_side, "max_pixels": self._max_pixels}
        if facts:
            request["facts"] = [fact.to_request() for fact in facts]
        if isinstance(source, bytes):
            return self._pool.ask(request, "the picture", unpack, source)
        name = os.path.abspath(source)
        return self._pool.ask({**request, "path": name}, name, unpack)


def _unpack(header: child_messages.Header, body: memoryview) -> Image.Image:
    width, height = header["size"]
    return Image.frombytes("RGB", (int(width), int(height)), body)
