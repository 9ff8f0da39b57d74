"""Cache of text vectors."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from firstsight.encoders.base import Vector


class TextCache:
    """The vectors of the most recently used texts; thread-safe.

    The keys are digests of the texts, so long texts take no more memory than short ones.

    Args:
        size: maximum number of texts; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, text: str) -> Vector | None:
        """The vector of a text, which becomes the most recently used; None if it is not cached."""
        key = _digest(text)
        with self._lock:
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
            return vector

    def put(self, text: str, vector: Vector) -> None:
        """Store a vector, and drop the least recently used ones beyond `size`."""
        with self._lock:
            self._vectors[_digest(text)] = vector.copy()  # a copy: a row would keep its whole batch in memory
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
