"""Authorization: the scope that a request needs, the scopes of its key, and the rate limit of the key."""

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
"""Cookie with the key of the page; POST /session sets it, and no script can read it."""

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
"""Method, path and required scope; None for no scope. The first match counts. An unlisted path needs a scope."""


class UnauthorizedError(ServiceError):
    """The request has no key, or an unknown one."""

    status, code = 401, "unauthorized"


class ForbiddenError(ServiceError):
    """The key lacks the required scope, or the request comes from a page of another site."""

    status, code = 403, "forbidden"


class RateLimitedError(ServiceError):
    """The key exceeded its requests per minute."""

    status, code = 429, "rate_limited"


def required_scope(method: str, path: str) -> Scope | None:
    """Return the scope that a request needs; None if it needs no key."""
    effective = "GET" if method in ("HEAD", "OPTIONS") else method
    for listed, pattern, scope in _SCOPES:
        if listed in ("*", effective) and re.fullmatch(pattern, path, re.DOTALL):
            return scope
    return "write"


def read_token(headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
    """Return the token of a request, from Authorization: Bearer, X-API-Key, or the cookie of the page."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return headers.get("x-api-key") or cookies.get(COOKIE)


class Keyring:
    """Checks the keys of requests and counts requests against the keys' rates.

    Args:
        keys: the file of keys.
        required: whether requests need a key even if the file has no keys.
        share: share of a key's rate that this process grants, 0 to 1; several processes divide the rate.
        clock: monotonic seconds.
    """

    def __init__(
        self, keys: KeyFile, *, required: bool, share: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._required = required
        self._share = share
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # per key: requests left, and the time of that count

    @property
    def in_use(self) -> bool:
        """Whether requests need a key. Once True, it stays True until the process ends, even if the file goes away."""
        if not self._required and self._keys.keys():
            self._required = True
        return self._required

    def admit(self, token: str | None, scope: Scope | None) -> ApiKey | None:
        """Return the key of an allowed request; None if the request needs no key and has none.

        Args:
            token: token of the request, if any.
            scope: scope that the request needs; None for no scope.

        Raises:
            UnauthorizedError: the token is missing or unknown.
            ForbiddenError: the key lacks the scope.
            RateLimitedError: the key exceeded its requests per minute.
            KeyFileError: the file of keys cannot be read.
        """
        if not self.in_use:
            return None
        if token is None:
            if scope is None:
                return None
            raise _unauthorized("this service needs an API key; send it as Authorization: Bearer, or X-API-Key")
        key = self._keys.find(token)
        if key is None:
            if scope is None:
                return None
            raise _unauthorized("this API key is not known, or was revoked")
        if scope is not None and scope not in key.scopes:
            raise ForbiddenError(f"this key lacks the scope {scope}; use a key that has it")
        self._count(key)
        return key

    def _count(self, key: ApiKey) -> None:
        """Count a request: a bucket holds one minute's requests and refills evenly."""
        if not key.per_minute:
            return
        size = max(1.0, key.per_minute * self._share)
        now = self._clock()
        with self._lock:
            left, then = self._left.get(key.key_id, (size, now))
            left = min(size, left + (now - then) * size / 60)
            if left < 1:
                wait_s = math.ceil((1 - left) * 60 / size)
                self._left[key.key_id] = (left, now)
                raise RateLimitedError(
                    f"this key exceeds {key.per_minute:,} requests per minute; wait {wait_s} s",
                    {"Retry-After": str(wait_s)},
                )
            self._left[key.key_id] = (left - 1, now)


def require_scope(request: Request, scope: Scope) -> None:
    """Refuse a request whose key lacks a scope. If no keys are in use, every request has every scope.

    Raises:
        ForbiddenError: the key lacks the scope.
    """
    if not has_scope(request, scope):
        raise ForbiddenError(f"this key lacks the scope {scope}; use a key that has it")


def refuse_if_blocked(request: Request, refusal: ServiceError, *, blocked: bool) -> None:
    """Refuse access to a blocked item unless the key has the scope moderate.

    Args:
        refusal: the error for an item that does not exist, so that clients cannot tell the two cases apart.
        blocked: whether the item is blocked.

    Raises:
        ServiceError: `refusal`, if the item is blocked and the key lacks the scope moderate.
    """
    if blocked and not has_scope(request, "moderate"):
        raise refusal


def has_scope(request: Request, scope: Scope) -> bool:
    """Whether the key of a request has a scope; True if no keys are in use."""
    scopes = _state(request).get("scopes")
    return scopes is None or scope in scopes


def actor_name(request: Request, person: str | None = None) -> str:
    """Return the actor for the audit log: the name of the key, with the person that the client names."""
    key = _state(request).get("key")
    if key is None:
        return person or "local"
    return f"{person} (key {key})" if person else str(key)


def _state(request: Request) -> dict[str, Any]:
    state: dict[str, Any] = request.scope.get("state", {})
    return state


def _unauthorized(message: str) -> UnauthorizedError:
    return UnauthorizedError(message, {"WWW-Authenticate": 'Bearer realm="firstsight"'})
