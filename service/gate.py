"""Checks before the routes: Host header, API key, origin, and size of the body.

A service without keys is open to everyone who uses this machine, but web pages in their browsers must not reach it. A
page of another site can send requests in three ways, and each is stopped:

- under its own host name that resolves to this machine (DNS rebinding): the Host header must be a name of the service;
- as a form or a simple request: a request that changes something must be JSON, or have a header that no form can send;
- as a script: there are no CORS headers, so the script cannot read answers, and Origin must be this service.
"""

from __future__ import annotations

import asyncio
import re
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstsight.service.auth import ForbiddenError, Keyring, read_token, required_scope
from firstsight.service.service_errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    OverloadedError,
    ServiceError,
    problem,
)
from firstsight.service.service_settings import ServiceSettings, is_loopback

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON: Final = re.compile(r"application/([\w.+-]+\+)?json", re.IGNORECASE)

_MAX_BYTES_WITHOUT_KEY: Final = 16 * 1024
"""Maximum body of a request without a key while keys are in use; enough for POST /session, which sends the key."""

_MAX_BODIES_HELD: Final = 16
"""Bodies of maximum size that fit in memory at the same time; requests beyond that get 503."""


class UnknownHostError(ServiceError):
    """The Host header is not a name of this service."""

    status, code = 421, "unknown_host"


class UnsupportedTypeError(ServiceError):
    """The content type of the body is not supported."""

    status, code = 415, "unsupported_type"


class Gate:
    """ASGI middleware that reads the whole body of an allowed request, and answers other requests with a problem."""

    def __init__(self, app: ASGIApp, *, settings: ServiceSettings, keyring: Keyring) -> None:
        self._app = app
        self._settings = settings
        self._keyring = keyring
        self._bytes_held = 0  # bytes of the bodies of all open requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()  # its length is counted in `_bytes_held`
        try:
            if await self._admit(scope, receive, send, body):
                await self._app(scope, _replay(bytes(body), receive), send)
        finally:
            self._bytes_held -= len(body)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, body: bytearray) -> bool:
        """Check a request and read its body. False if it was refused and answered, or its client disconnected."""
        state = scope.setdefault("state", {})
        try:
            headers = Headers(scope=scope)
            self._check_host(headers)
            token = read_token(headers, _cookies(headers))
            key = self._keyring.admit(token, required_scope(scope["method"], scope["path"]))
            if key is not None:
                state |= {"key": key.name, "scopes": frozenset(key.scopes)}
            elif self._keyring.in_use:
                state["scopes"] = frozenset()
            if scope["method"] not in _SAFE:
                _check_origin(scope["method"], headers)
            limit = self._settings.max_body_bytes
            if key is None and self._keyring.in_use:
                limit = min(limit, _MAX_BYTES_WITHOUT_KEY)
            return await self._read(headers, receive, limit, body)
        except ServiceError as error:
            state["code"] = error.code
            await problem(error.status, error.code, str(error), error.headers)(scope, receive, send)
            return False

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = re.sub(r":\d*$", "", host).lower()
        known = {known_name.lower() for known_name in self._settings.names}
        if self._keyring.in_use and not known:
            return  # a page that rebinds a name has no key
        if not (is_loopback(name) or name in known or (name == self._settings.host and not self._settings.loopback)):
            raise UnknownHostError(
                f"{host[:100]!r} is not a name of this service; to add it, start with --name {name[:100] or 'NAME'}"
            )

    async def _read(self, headers: Headers, receive: Receive, limit: int, body: bytearray) -> bool:
        """Read the body; False if the client disconnected."""
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(self._settings.max_wait_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    part: bytes = message.get("body", b"")
                    body += part
                    self._bytes_held += len(part)
                    if len(body) > limit:
                        raise _too_large(limit)
                    if self._bytes_held > _MAX_BODIES_HELD * self._settings.max_body_bytes:
                        raise OverloadedError(
                            "requests send too much data at the same time; try again", {"Connection": "close"}
                        )
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            raise BodyTimeoutError(
                f"the body did not arrive within {self._settings.max_wait_s:g} s; send it again",
                {"Connection": "close"},
            ) from None


def _check_origin(method: str, headers: Headers) -> None:
    """Refuse requests that a page of another site can send.

    Raises:
        ForbiddenError: another site sent the request, or a form lacks a header that no form can send.
        UnsupportedTypeError: the body is neither JSON nor a multipart form.
    """
    origin, host = headers.get("origin"), headers.get("host", "").lower()
    if origin is not None and origin.lower().partition("://")[2] != host:
        raise ForbiddenError(f"a page of {origin[:100]} may not send this request; only pages of this service may")
    if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ForbiddenError("a page of another site may not send this request; only pages of this service may")
    kind = headers.get("content-type", "")
    if method == "DELETE" or _JSON.match(kind):
        return
    if not kind.lower().startswith("multipart/form-data"):
        raise UnsupportedTypeError(f"a body of type {kind[:100] or 'none'!r} is not supported; send application/json")
    if origin is None and not {"x-requested-with", "x-api-key", "authorization"} & set(headers.keys()):
        raise ForbiddenError("a form needs the header X-Requested-With, which no page of another site can send")


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body has more than {limit:,} bytes; send smaller requests", {"Connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Make a `receive` that returns the body once, then waits for the disconnect."""
    sent = False

    async def receive_again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
