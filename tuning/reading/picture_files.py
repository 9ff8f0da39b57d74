"""Pictures of a catalogue for tuning: fetched within the media policy, decoded in child processes, each once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, overload

from PIL import Image

from firstsight.errors import MediaError, StoreError, first_line
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.fetch.addresses import host_of
from firstsight.media.fetch.fetched_media import fetch_bytes
from firstsight.media.policy import MediaPolicy

DECODERS: Final = max(2, os.cpu_count() or 2)


class PictureStore:
    """Reads pictures by address; a context manager.

    Local files are read where they are. Copies of remote pictures, and pictures whose bytes are in a row, are kept in
    a folder, because a training reads each picture several times.

    Args:
        policy: permitted sources, and limits.
        folder: for the copies.
        min_side: minimum length of a decoded picture's shorter side, in pixels.
        known_file: list of the pictures that have been decoded before, which are not decoded again for the check.

    Raises:
        StoreError: the folder or the list cannot be written.
    """

    def __init__(self, policy: MediaPolicy, folder: Path, min_side: int, known_file: Path) -> None:
        self.policy = policy
        self.failures: dict[str, MediaError] = {}
        self._folder = folder
        self._min_side = min_side
        self._known_file = known_file
        try:
            folder.mkdir(parents=True, exist_ok=True)
            known_file.parent.mkdir(parents=True, exist_ok=True)
            self._known = set(known_file.read_text("ascii").split()) if known_file.is_file() else set()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{folder} cannot keep pictures for tuning ({first_line(error)}); free space there"
            ) from error
        self._digests: dict[str, str] = {}  # address -> SHA-256 of the file
        self._decoder = PictureDecoder(workers=DECODERS, timeout_s=policy.timeout_s, max_pixels=policy.max_pixels)

    def __enter__(self) -> PictureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoder.close()

    def keep(self, data: bytes) -> str:
        """Keep the bytes of a picture that a row holds, and return an address for it."""
        digest = hashlib.sha256(data).hexdigest()
        self._write_copy(digest, data)
        return f"{_KEPT}{digest}"

    def check(self, addresses: Iterable[str], on_progress: Callable[[int], None] = lambda count: None) -> None:
        """Fetch and decode new addresses once; `failures` has those that cannot be used.

        Args:
            on_progress: called with the number of addresses so far, in the calling thread.
        """
        new = list(dict.fromkeys(address for address in addresses if address not in self._digests))
        # one pool of this size keeps both limits: of one host and of all hosts
        threads = max(1, min(self.policy.fetches_per_host, self.policy.fetches))
        with ThreadPoolExecutor(threads, "firstsight-tune") as pool:
            for count, (address, outcome) in enumerate(zip(new, pool.map(self._check, new), strict=True), 1):
                if isinstance(outcome, MediaError):
                    self.failures[address] = outcome
                else:
                    self._digests[address] = outcome
                on_progress(count)
        self._note_known()

    def digest(self, address: str) -> str | None:
        """SHA-256 of a checked picture's file; None if the picture cannot be used."""
        return self._digests.get(address)

    def open(self, address: str) -> Image.Image:
        """Decode a picture.

        Raises:
            MediaError: it has become unreadable since its check.
        """
        return self._decoder.open(self._read(address), min_side=self._min_side)

    def _check(self, address: str) -> str | MediaError:
        try:
            data = self._read(address)
            digest = hashlib.sha256(data).hexdigest()
            if digest not in self._known:
                self._decoder.open(data, min_side=self._min_side)
            if host_of(address) is not None:
                self._write_copy(digest, data)
            return digest
        except MediaError as error:
            return error
        except OSError as error:
            return MediaError("unreachable", f"{address} could not be read ({error.strerror or error})")

    def _read(self, address: str) -> bytes:
        digest = address.removeprefix(_KEPT) if address.startswith(_KEPT) else self._digests.get(address)
        if digest is not None and len(digest) == _DIGEST_CHARACTERS and digest.isalnum():
            copy = self._folder / digest
            if copy.is_file():
                return copy.read_bytes()
        return fetch_bytes(address, self.policy)

    def _write_copy(self, digest: str, data: bytes) -> None:
        copy = self._folder / digest
        if copy.is_file() or len(data) > self.policy.max_picture_bytes:
            return
        try:
            draft = copy.with_suffix(f".{os.getpid()}.{id(data)}")
            draft.write_bytes(data)
            draft.replace(copy)
        except OSError as error:
            raise StoreError(f"{self._folder} cannot keep a picture ({first_line(error)}); free space there") from error

    def _note_known(self) -> None:
        new = sorted(set(self._digests.values()) - self._known)
        if new:
            self._known.update(new)
            with self._known_file.open("a", encoding="ascii") as file:
                file.write("".join(f"{digest}\n" for digest in new))


_KEPT: Final = "embedded://"
_DIGEST_CHARACTERS: Final = 64


class CataloguePictures(Sequence[Image.Image]):
    """Checked pictures, decoded when they are read: p pictures, upright RGB.

    Args:
        store: reads them.
        addresses: (p,) addresses, each checked.
    """

    def __init__(self, store: PictureStore, addresses: Sequence[str]) -> None:
        self._store = store
        self.addresses = tuple(addresses)

    def __len__(self) -> int:
        return len(self.addresses)

    @overload
    def __getitem__(self, row: int) -> Image.Image: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Image.Image]: ...
    def __getitem__(self, row: int | slice) -> Image.Image | Sequence[Image.Image]:
        if isinstance(row, slice):
            return CataloguePictures(self._store, self.addresses[row])
        return self._store.open(self.addresses[row])

    def __iter__(self) -> Iterator[Image.Image]:
        return map(self._store.open, self.addresses)

    def digest(self, row: int) -> str:
        """SHA-256 of a picture's file, 64 hexadecimal digits."""
        return self._store.digest(self.addresses[row]) or ""
