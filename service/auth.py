"""Which scope a request needs, whether its key has it, and how many a key may make."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request

from firstsight.service.api_keys import ApiKey, KeyFile, Scope
from firstsight.service.service_errors import ServiceError

COOKIE: Final = "firstsight_key"
"""Cookie that the page keeps a key in; made by POST /session, read by no script."""

_SCOPES: Final[tuple[tuple[str, str, Scope | None], ...]] = (
    ("GET", r"/(|health|ready|openapi\.json|favicon\.ico|static/.*)", None),
    ("*", r"/session", None),
    ("POST", r"/safety/items/.+/appeal", "write"),
    ("*", r"/safety/.*", "moderate"),
    ("GET", r"/failures", "read"),
    ("GET", r"/.*", "read"),
    ("POST", r"/(search|recommend|v1/.*|v2/.*)", "read"),
    ("*", r"/.*", "write"),
)
"""Method, path and the scope they need, None for none at all; the first that fits counts, and all that is new and not
listed needs one."""


class UnauthorizedError(ServiceError):
    """No key, or one that is not known."""

    status, code = 401, "unauthorized"


class ForbiddenError(ServiceError):
    """The key does not reach so far."""

    status, code = 403, "forbidden"


class RateLimitedError(ServiceError):
    """The key has made its requests of this minute."""

    status, code = 429, "rate_limited"


def required_scope(method: str, path: str) -> Scope | None:
    """The scope that a request needs; None where anybody may make it."""
    asked = "GET" if method in ("HEAD", "OPTIONS") else method
    for listed, pattern, scope in _SCOPES:
        if listed in ("*", asked) and re.fullmatch(pattern, path, re.DOTALL):
            return scope
    return "write"


def read_token(headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
    """The token that a request brings: Authorization: Bearer, X-API-Key, or the page's cookie."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return headers.get("x-api-key") or cookies.get(COOKIE)


class Keyring:
    """The keys as requests meet them: looked up, and counted against their rates.

    Args:
        required: whether a key is needed although the file has none.
        share: of its rate that a key has in this process, where several processes serve.
        clock: seconds that only rise.
    """

    def __init__(
        self, keys: KeyFile, *, required: bool, share: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._required = required
        self._share = share
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # of each key: requests left, and when that was so

    @property
    def in_use(self) -> bool:
        """Whether requests need a key; once they do, they do until the process ends, whatever becomes of the file."""
        if not self._required and self._keys.keys():
            self._required = True
        return self._required

    def admit(self, token: str | None, scope: Scope | None) -> ApiKey | None:
        """The key of a request that may be answered; None where it needs none and brings none.

        Raises:
            UnauthorizedError, ForbiddenError, RateLimitedError: it may not.
            KeyFileError: the keys cannot be read.
        """
        if not self.in_use:
            return None
        if token is None:
            if scope is None:
                return None
            raise _unauthorized("this service needs an API key: Authorization: Bearer, or X-API-Key")
        key = self._keys.find(token)
        if key is None:
            if scope is None:
                return None
            raise _unauthorized("this API key is not known, or was revoked")
        if scope is not None and scope not in key.scopes:
            raise ForbiddenError(f"this key has not the scope {scope}; ask for one that has it")
        self._count(key)
        return key

    def _count(self, key: ApiKey) -> None:
        """A bucket of one minute's requests, filled up evenly."""
        if not key.per_minute:
            return
        size = max(1.0, key.per_minute * self._share)
        now = self._clock()
        with self._lock:
            left, then = self._left.get(key.key_id, (size, now))
            left = min(size, left + (now - then) * size / 60)
            if left < 1:
                waits = math.ceil((1 - left) * 60 / size)
                self._left[key.key_id] = (left, now)
                raise RateLimitedError(
                    f"this key makes more than {key.per_minute:,} requests a minute; wait {waits} s",
                    {"Retry-After": str(waits)},
                )
            self._left[key.key_id] = (left - 1, now)


def require_scope(request: Request, scope: Scope) -> None:
    """Refuse a request whose key has not this scope; where no keys are in use, every request has every scope.

    Raises:
        ForbiddenError: it has not.
    """
    if not has_scope(request, scope):
        raise ForbiddenError(f"this key has not the scope {scope}; ask for one that has it")


def refuse_if_blocked(request: Request, refusal: ServiceError, *, blocked: bool) -> None:
    """Refuse what is not there for whoever asks: what belongs to a blocked item is for the scope moderate alone.

    Args:
        refusal: the one for what is not there at all, so that nobody can tell the two apart.

    Raises:
        `refusal`.
    """
    if blocked and not has_scope(request, "moderate"):
        raise refusal


def has_scope(request: Request, scope: Scope) -> bool:
    """Whether a request's key has a scope."""
    scopes = _state(request).get("scopes")
    return scopes is None or scope in scopes


def actor_name(request: Request, person: str | None = None) -> str:
    """Who acts, for the audit log: the key's name, with what the client says of the person behind it."""
    key = _state(request).get("key")
    if key is None:
        return person or "local"
    return f"{person} (key {key})" if person else str(key)


def _state(request: Request) -> dict[str, Any]:
    state: dict[str, Any] = request.scope.get("state", {})
    return state


def _unauthorized(message: str) -> UnauthorizedError:
    return UnauthorizedError(message, {"WWW-Authenticate": 'Bearer realm="firstsight"'})
