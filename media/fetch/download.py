"""Download of one http(s) address to a file, with retries that resume an interrupted transfer.

Tries back off exponentially with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015), so that many clients do not retry at the same moment. One time limit covers all tries.
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
    """The version of a file as a server marks it. Each field may be empty."""

    etag: str = ""
    last_modified: str = ""

    @property
    def conditions(self) -> dict[str, str]:
        """Request headers for "send the file unless it is this version"; empty if the version is empty."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}

    def __str__(self) -> str:
        return f"etag {self.etag}" if self.etag else f"modified {self.last_modified}" if self.last_modified else ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read the text that `str` writes. Any other text gives an empty version."""
        kind, _, value = text.partition(" ")
        return cls(etag=value) if kind == "etag" else cls(last_modified=value) if kind == "modified" else cls()


@dataclass(frozen=True)
class DownloadedFile:
    """A completely downloaded file."""

    version: Version
    cacheable: bool  # False if the server sent no-store


def download(
    url: str,
    into: IO[bytes],
    policy: MediaPolicy,
    *,
    limit: int,
    check_head: Callable[[bytes], None] = lambda head: None,
    known: Version | None = None,
) -> DownloadedFile | None:
    """Download an http(s) address to an empty file.

    Args:
        into: an empty file, open for writing and seeking.
        limit: largest size in bytes. A larger file is refused as soon as its size is announced or exceeded.
        check_head: called once with the first `SNIFF_BYTES` bytes (or the whole file if it is shorter). It raises to
            refuse the file.
        known: a version that the caller already has.

    Returns:
        The downloaded file, or None if the server still has the `known` version; then `into` is empty.

    Raises:
        MediaError: "missing" if the server has no such file; "forbidden" if its address is not public; "unreachable"
            if it is not sent; "timeout" after `policy.timeout_s` seconds; "too_large" above `limit`; "unsupported" for
            an unknown content encoding; or an error of `check_head`.
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
    """Ask a server whether the file at an address differs from a known version; True if it cannot tell.

    Raises:
        MediaError: as for `download`.
    """
    if not known.conditions:
        return True
    try:
        return download(url, io.BytesIO(), policy, limit=2**63, check_head=_stop_download, known=known) is not None
    except _ChangedError:
        return True


class _ChangedError(Exception):
    """Stops a download at its start: the file has changed."""


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
        """Send one request, only for the rest of the file if an answer was interrupted and the server can resume."""
        headers = self._conditions()
        with self._source.stream(self._url, timeout_s=self._timeout_s, headers=headers) as answer:
            if answer.status == 304:
                self._restart(None)
                return None
            if answer.status == 206:
                self._require_rest(answer.headers)
            else:
                self._restart(answer)
            for chunk in answer.chunks:
                self._write_chunk(chunk)
        if self._head is not None:  # the file is shorter than SNIFF_BYTES
            self._check_head(self._head)
        return DownloadedFile(self._version, self._cacheable)

    def _conditions(self) -> Mapping[str, str]:
        if self._size and self._validator:
            return {"Range": f"bytes={self._size}-", "If-Range": self._validator}
        return self._known.conditions if self._known else {}

    def _restart(self, answer: SourceResponse | None) -> None:
        """Delete the bytes received so far, and read the version, size and caching rules from this answer."""
        headers: Mapping[str, str] = answer.headers if answer else {}
        self._into.seek(0)
        self._into.truncate()
        self._size = 0
        self._head: bytes | None = b""  # None after `check_head`
        self._version = Version(headers.get("etag", ""), headers.get("last-modified", ""))
        self._cacheable = "no-store" not in headers.get("cache-control", "").lower()
        self._validator = _range_validator(headers)
        length = headers.get("content-length", "")
        self._total = int(length) if length.isdecimal() else None
        if self._total is not None and headers.get("content-encoding", "identity") in ("", "identity"):
            self._require_within(self._total)

    def _require_rest(self, headers: Mapping[str, str]) -> None:
        """Check that a partial answer continues the file; restart otherwise."""
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("content-range", ""))
        if sent and int(sent[1]) == self._size and self._total in (None, int(sent[2])):
            return
        self._restart(None)
        raise RetryableError("unreachable", f"{self._url} was sent in parts that do not match; try again")

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
                "unreachable", f"{self._url} cannot be stored ({error.strerror}); free some disk space or set TMPDIR"
            ) from error

    def _require_within(self, size: int) -> None:
        if size > self._limit:
            raise too_large_error(self._url, self._limit)


def _range_validator(headers: Mapping[str, str]) -> str:
    """The value of an If-Range header, which prevents joining parts of two versions (RFC 9110, 13.1.5); "" if none."""
    if headers.get("content-encoding", "identity") not in ("", "identity"):
        return ""  # `_size` counts decoded bytes
    etag = headers.get("etag", "")
    if etag.startswith('"'):  # W/"…" is a weak ETag
        return etag
    try:
        changed, sent = (parsedate_to_datetime(headers.get(name, "")) for name in ("last-modified", "date"))
        # dates count whole seconds: the file may have changed again within the second in which it was sent
        return headers["last-modified"] if (sent - changed).total_seconds() >= 1 else ""
    except (ValueError, TypeError):
        return ""


def _retry_delay(error: RetryableError, tries: int, policy: MediaPolicy) -> float:
    """Seconds until the next try."""
    longest = min(_LONGEST_BACKOFF_S, policy.backoff_s * 2 ** (tries - 1))
    return random.uniform(0, longest) if error.retry_after_s is None else error.retry_after_s  # noqa: S311  # no secret


def _final_error(error: RetryableError, tries: int, policy: MediaPolicy) -> MediaError:
    delay = f", and the server asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
    return MediaError(error.reason, f"{error} (tried {tries} {'time' if tries == 1 else 'times'}{delay})")
