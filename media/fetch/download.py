"""One http(s) address into a file: tried again where that may help, and gone on with where it was cut.

Tries back off exponentially with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015), so that many waiting clients do not come back as one; all of them lie within one time limit.
"""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import IO, Final

from firstsight.errors import MediaError
from firstsight.media.fetch.http_source import HttpSource, RetryableError, SourceResponse, shared_source
from firstsight.media.fetch.network_guard import deadline, time_left
from firstsight.media.file_formats import SNIFF_BYTES
from firstsight.media.policy import MediaPolicy, too_large_error

_LONGEST_BACKOFF_S: Final = 8.0


@dataclass(frozen=True)
class Version:
    """What a server says to tell versions of a file apart by; either may be empty."""

    etag: str = ""
    last_modified: str = ""

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that ask for the file only if it is not this version; empty where that cannot be asked."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value}

    def __str__(self) -> str:
        return f"etag {self.etag}" if self.etag else f"modified {self.last_modified}" if self.last_modified else ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """The version that `str` wrote, as far as it can be asked for."""
        kind, _, value = text.partition(" ")
        return cls(etag=value) if kind == "etag" else cls(last_modified=value) if kind == "modified" else cls()


@dataclass(frozen=True)
class DownloadedFile:
    """A file that has come whole."""

    version: Version
    cacheable: bool  # False where the server said no-store


def download(
    url: str,
    into: IO[bytes],
    policy: MediaPolicy,
    *,
    limit: int,
    check_head: Callable[[bytes], None] = lambda head: None,
    known: Version | None = None,
) -> DownloadedFile | None:
    """Fetch an address into an empty file.

    Args:
        into: opened for writing and seeking.
        limit: bytes; more are refused as soon as they are announced or come.
        check_head: given the first `SNIFF_BYTES` bytes (fewer where there are no more) as soon as they are there;
            raises to refuse the rest.
        known: a version that need not be sent again.

    Returns:
        What came, or None where the server has still the known version; `into` is empty then.

    Raises:
        MediaError: "forbidden", "missing", "unreachable", "timeout", "too_large" or "unsupported", or what
            `check_head` raised.
    """
    transfer = _Transfer(shared_source(policy.allow_private), url, into, policy.timeout_s, limit, check_head, known)
    with deadline(policy.timeout_s):
        for tries in range(1, policy.tries + 1):
            try:
                return transfer.attempt()
            except RetryableError as error:
                wait = _retry_delay(error, tries, policy)
                if tries == policy.tries or wait >= time_left():
                    raise _final_error(error, tries, policy) from error
            time.sleep(wait)
    raise AssertionError("policy.tries is 1 or more")


def has_changed(url: str, known: Version, policy: MediaPolicy) -> bool:
    """Ask a server whether an address stands for another version by now; True where that cannot be told.

    Raises:
        MediaError: as `download`.
    """
    if not known.conditions:
        return True
    try:
        return download(url, io.BytesIO(), policy, limit=2**63, check_head=_stop_download, known=known) is not None
    except _ChangedError:
        return True


class _ChangedError(Exception):
    """Ends a download that has only to begin."""


def _stop_download(head: bytes) -> None:
    raise _ChangedError


class _Transfer:
    """A file on its way, over as many answers as it takes."""

    def __init__(
        self,
        source: HttpSource,
        url: str,
        into: IO[bytes],
        timeout_s: float,
        limit: int,
        check_head: Callable[[bytes], None],
        known: Version | None,
    ) -> None:
        self._source = source
        self._url = url
        self._into = into
        self._timeout_s = timeout_s
        self._limit = limit
        self._check_head = check_head
        self._known = known
        self._restart(None)

    def attempt(self) -> DownloadedFile | None:
        """Ask once, for the rest where the answer before was cut and its server can send a part."""
        asked = self._conditions()
        with self._source.stream(self._url, timeout_s=self._timeout_s, headers=asked) as answer:
            if answer.status == 304:
                self._restart(None)
                return None
            if answer.status == 206:
                self._require_rest(answer.headers)
            else:
                self._restart(answer)
            for chunk in answer.chunks:
                self._write_chunk(chunk)
        if self._head is not None:  # shorter than a head
            self._check_head(self._head)
        return DownloadedFile(self._version, self._cacheable)

    def _conditions(self) -> Mapping[str, str]:
        if self._size and self._validator:
            return {"Range": f"bytes={self._size}-", "If-Range": self._validator}
        return self._known.conditions if self._known else {}

    def _restart(self, answer: SourceResponse | None) -> None:
        """Forget what came before, and note what this answer says of the file."""
        headers: Mapping[str, str] = answer.headers if answer else {}
        self._into.seek(0)
        self._into.truncate()
        self._size = 0
        self._head: bytes | None = b""  # None once it was checked
        self._version = Version(headers.get("etag", ""), headers.get("last-modified", ""))
        self._cacheable = "no-store" not in headers.get("cache-control", "").lower()
        self._validator = _range_validator(headers)
        length = headers.get("content-length", "")
        self._total = int(length) if length.isdecimal() else None
        if self._total is not None and headers.get("content-encoding", "identity") in ("", "identity"):
            self._require_within(self._total)

    def _require_rest(self, headers: Mapping[str, str]) -> None:
        """Begin anew where a part is not the one asked for."""
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("content-range", ""))
        if sent and int(sent[1]) == self._size and self._total in (None, int(sent[2])):
            return
        self._restart(None)
        raise RetryableError("unreachable", f"{self._url} was sent in parts that do not fit together; try again")

    def _write_chunk(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._require_within(self._size)
        if self._head is not None:
            self._head += chunk[: SNIFF_BYTES - len(self._head)]
            if len(self._head) == SNIFF_BYTES:
                self._check_head(self._head)
                self._head = None
        try:
            self._into.write(chunk)
        except OSError as error:
            raise MediaError(
                "unreachable", f"{self._url} cannot be stored ({error.strerror}); make room or set TMPDIR"
            ) from error

    def _require_within(self, size: int) -> None:
        if size > self._limit:
            raise too_large_error(self._url, self._limit)


def _range_validator(headers: Mapping[str, str]) -> str:
    """What an If-Range may carry so that parts of two versions are never joined (RFC 9110, 13.1.5), or ""."""
    if headers.get("content-encoding", "identity") not in ("", "identity"):
        return ""  # its bytes are counted decoded
    etag = headers.get("etag", "")
    if etag.startswith('"'):  # W/"…" is a weak one
        return etag
    try:
        changed, sent = (parsedate_to_datetime(headers.get(name, "")) for name in ("last-modified", "date"))
        # dates have seconds: a file may have changed twice within the one it was sent in
        return headers["last-modified"] if (sent - changed).total_seconds() >= 1 else ""
    except (ValueError, TypeError):
        return ""


def _retry_delay(error: RetryableError, tries: int, policy: MediaPolicy) -> float:
    """Seconds until the next try."""
    longest = min(_LONGEST_BACKOFF_S, policy.backoff_s * 2 ** (tries - 1))
    return random.uniform(0, longest) if error.retry_after_s is None else error.retry_after_s  # noqa: S311  # no secret


def _final_error(error: RetryableError, tries: int, policy: MediaPolicy) -> MediaError:
    asked = f", and the server asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
    return MediaError(error.reason, f"{error} (tried {tries} {'time' if tries == 1 else 'times'}{asked})")
