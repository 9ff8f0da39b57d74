"""API keys: random tokens, stored as SHA-256 digests in a file that only its owner can read.

A token has 256 random bits, so nobody can find it from its digest by trying; passwords would need a slow hash. Each
request checks time and size of the file, so a revoked key stops working at once, in every process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from filelock import FileLock

from firstsight.service.service_errors import ServiceError

Scope: TypeAlias = Literal["read", "write", "moderate"]
"""read: search, embed, recommend. write: items, logged slates, appeals. moderate: blocked items and decisions."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

DEFAULT_PER_MINUTE = 6_000


class KeyFileError(ServiceError):
    """The file of keys cannot be read or written, or a request to change it is invalid. No key works meanwhile."""

    status, code = 503, "keys"


@dataclass(frozen=True)
class ApiKey:
    """One key, without its token."""

    key_id: str  # 8 hex digits, also part of the token
    name: str
    scopes: tuple[Scope, ...]
    per_minute: int  # requests per minute; 0 for no limit
    created_at: str  # UTC, ISO 8601
    sha256: str  # of the token


class KeyFile:
    """The keys of one file; safe for many threads and processes."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file_state: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def keys(self) -> list[ApiKey]:
        """Return all keys, oldest first.

        Raises:
            KeyFileError: the file cannot be read.
        """
        return list(self._read().values())

    def find(self, token: str) -> ApiKey | None:
        """Return the key of a token; None if it is unknown.

        Raises:
            KeyFileError: the file cannot be read.
        """
        match = re.fullmatch(r"fs_([0-9a-f]{8})_[A-Za-z0-9_-]{43}", token)
        key = self._read().get(match.group(1)) if match else None
        return key if key is not None and hmac.compare_digest(_digest(token), key.sha256) else None

    def add(
        self, name: str, scopes: Sequence[str] = ("read",), *, per_minute: int = DEFAULT_PER_MINUTE
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            name: unique name of its owner: 1 to 64 letters, digits, spaces and ``.@_-``.
            scopes: one or more of "read", "write" and "moderate"; no scope includes another.
            per_minute: maximum requests per minute; 0 for no limit.

        Returns:
            The key and its token. The token is not stored anywhere.

        Raises:
            KeyFileError: the name, a scope or the rate is invalid, or the file cannot be written.
        """
        if not re.fullmatch(r"[\w .@-]{1,64}", name):
            raise KeyFileError(f"{name!r:.80} is not a valid key name; use 1 to 64 letters, digits, spaces and .@_-")
        if wrong := [scope for scope in scopes if scope not in SCOPES]:
            raise KeyFileError(f"there is no scope {wrong[0]!r}; scopes are {', '.join(SCOPES)}")
        if not scopes or per_minute < 0:
            raise KeyFileError("a key needs at least one scope, and a rate of 0 (no limit) or more")
        with self._writing() as keys:
            if any(key.name == name for key in keys.values()):
                raise KeyFileError(f"a key {name!r} exists already; revoke it first, or choose another name")
            key_id = next(i for i in iter(lambda: secrets.token_hex(4), "") if i not in keys)
            token = f"fs_{key_id}_{secrets.token_urlsafe(32)}"
            now = datetime.now(UTC).isoformat(timespec="seconds")
            ordered = tuple(scope for scope in SCOPES if scope in scopes)
            keys[key_id] = ApiKey(key_id, name, ordered, per_minute, now, _digest(token))
            return keys[key_id], token

    def revoke(self, id_or_name: str) -> ApiKey:
        """Remove a key by its id or name, and return it.

        Raises:
            KeyFileError: there is no such key, or the file cannot be written.
        """
        with self._writing() as keys:
            key = next((key for key in keys.values() if id_or_name in (key.key_id, key.name)), None)
            if key is None:
                raise KeyFileError(f"there is no key {id_or_name!r}; see firstsight keys list")
            return keys.pop(key.key_id)

    # ---- inside

    def _read(self) -> dict[str, ApiKey]:
        if self.path is None:
            return {}
        with self._lock:
            try:
                status = self.path.stat()
                state = (status.st_mtime_ns, status.st_size, status.st_ino)
                if state != self._file_state:
                    self._keys = _parse(self.path.read_bytes())
                    self._file_state = state
            except FileNotFoundError:
                self._keys, self._file_state = {}, None
            except (OSError, ValueError, TypeError, KeyError) as error:
                self._file_state = None
                raise KeyFileError(
                    f"the file of API keys cannot be read ({type(error).__name__}); restore it"
                ) from error
            return self._keys

    @contextmanager
    def _writing(self) -> Iterator[dict[str, ApiKey]]:
        if self.path is None:
            raise KeyFileError("a remote database has no folder for API keys; name a file with --keys FILE")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                keys = dict(self._read())
                yield keys
                _write(self.path, keys)
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be written ({error.strerror}); check its permissions") from error


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _parse(data: bytes) -> dict[str, ApiKey]:
    keys = [ApiKey(**{**row, "scopes": tuple(row["scopes"])}) for row in json.loads(data)["keys"]]
    return {key.key_id: key for key in keys}


def _write(path: Path, keys: dict[str, ApiKey]) -> None:
    """Replace the file atomically; mkstemp makes the new one readable only by its owner."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".keys-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"keys": [asdict(key) for key in keys.values()]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
