"""Middleware around every request: id, security headers, metrics, a log line, and no stack trace for clients."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firstsight.service.metrics import Metrics
from firstsight.service.service_errors import LOG, problem

_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer, unless the route sets them."""

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class RequestObserver:
    """ASGI middleware; the outermost one of the application."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        client_id = Headers(scope=scope).get("x-request-id", "")
        request_id = client_id if re.fullmatch(r"[\w.-]{1,64}", client_id, re.ASCII) else uuid.uuid4().hex[:16]
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:
                LOG.exception(json.dumps({"request_id": request_id, "what": "the request failed"}))
                state["code"] = "internal"
                if status == 0:
                    detail = f"the service failed; see its log for request {request_id}"
                    await problem(500, "internal", detail)(scope, receive, send_with_headers)
        self._record(scope, state, status, time.perf_counter() - began)

    def _record(self, scope: Scope, state: dict[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if status >= 400:
            self._metrics.failures.labels(state.get("code", str(status))).inc()
        line = {
            "request_id": state["request_id"],
            "method": method,
            "path": scope["path"][:500],
            "status": status,  # 0: the client disconnected before the answer
            "ms": round(seconds * 1000, 1),
            "key": state.get("key"),
            "client": (scope.get("client") or ("",))[0],
            "code": state.get("code"),
        }
        LOG.info(json.dumps({name: value for name, value in line.items() if value is not None}))
