"""Errors as clients see them: problem+json (RFC 9457), made in this one place from the tree of `firstsight.errors`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from firstsight.errors import (
    AuditLogError,
    CatalogError,
    DatabaseBusyError,
    EncoderError,
    FirstsightError,
    InputError,
    MediaError,
    MissingDatabaseError,
    OptionalDependencyError,
    QueryError,
    SafetyError,
    StoreError,
    first_line,
)
from firstsight.service.json_responses import strip_local_folders

LOG: Final = logging.getLogger("firstsight.service")

BUSY_RETRY_S: Final = 5
"""What clients are told to wait where nothing more is known, such as while another process writes."""


class ServiceError(FirstsightError):
    """A request that is refused for what it is, not for what it asks; subclasses set `status` and `code`.

    Attributes:
        status: of HTTP.
        code: a word for programs, snake_case.
        headers: of the answer, such as Retry-After.
    """

    status: int = 400
    code: str = "bad_request"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers: dict[str, str] = dict(headers or {})


class NotFoundError(ServiceError):
    """There is no such item, view or route."""

    status, code = 404, "not_found"


class BodyTooLargeError(ServiceError):
    """More bytes than a request may bring."""

    status, code = 413, "body_too_large"


class BodyTimeoutError(ServiceError):
    """The body did not come in time."""

    status, code = 408, "body_timeout"


class OverloadedError(ServiceError):
    """Every thread is at work and none came free in time."""

    status, code = 503, "overloaded"


_PROBLEM_TYPES: tuple[tuple[type[FirstsightError], int, str, str | None], ...] = (
    (QueryError, 422, "query", None),
    (CatalogError, 422, "catalogue", None),
    (AuditLogError, 503, "audit_log", "the audit log cannot be used; the service's log says why"),
    (SafetyError, 422, "safety", None),
    (DatabaseBusyError, 503, "database_busy", "another process is writing to the database; try again"),
    (MissingDatabaseError, 503, "no_database", "there is no database yet; index a catalogue, or post items"),
    (StoreError, 503, "store", "the database cannot be used; the service's log says why"),
    (OptionalDependencyError, 422, "not_installed", None),  # names a package and nothing of this machine
    (InputError, 422, "bad_inputs", None),
    (EncoderError, 503, "encoder", "the encoder cannot be used; the service's log says why"),
    (FirstsightError, 500, "internal", "the service failed; its log says why"),
)
"""Of each branch of the tree the status, the code, and what is said in place of a message that names things of this
machine; the first that fits."""


def describe_error(error: FirstsightError) -> tuple[int, str, str, dict[str, str]]:
    """Status, code, detail and headers for an error of the tree."""
    if isinstance(error, ServiceError):
        return error.status, error.code, str(error), error.headers
    if isinstance(error, MediaError):
        return (413 if error.reason == "too_large" else 422), f"media_{error.reason}", str(error), {}
    _, status, code, said = next(row for row in _PROBLEM_TYPES if isinstance(error, row[0]))
    return status, code, said or str(error), {}


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """An answer of type application/problem+json: {type, title, status, detail, code} and what else is told.

    Every 429 and 503 says when to come back.
    """
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    waits = {"Retry-After": str(BUSY_RETRY_S)} if status in (429, 503) else {}
    told = {"type": f"urn:firstsight:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    body = json.dumps(told | more)  # ASCII: what is wrong with a request may be that it is no Unicode
    return Response(body, status, headers=waits | dict(headers or {}), media_type="application/problem+json")


def make_validation_problem(errors: list[Any]) -> Response:
    """The answer to a body or parameter of the wrong shape; what was sent is not repeated."""
    told = [{"where": ".".join(str(part) for part in one["loc"]), "what": one["msg"]} for one in errors[:20]]
    first = "; ".join(f"{one['where']}: {one['what']}" for one in told[:3])
    return problem(422, "invalid", first or "the request is not of the right shape", errors=told)


def answer_error(request: Request, error: Exception) -> Response:
    """The problem that an exception is told as; addresses of the database stay with us."""
    if isinstance(error, FirstsightError):
        status, code, detail, headers = describe_error(error)
        record_error_code(request, code)
        if status >= 500:
            LOG.warning("%s: %s", code, one_line(error))
        uri = request.app.state.service.settings.db
        detail = detail.replace(f" in {uri}", "").replace(uri, "the database")
        if isinstance(error, MediaError | SafetyError | CatalogError):  # others repeat what was asked for, ids too
            detail = strip_local_folders(detail)
        return problem(status, code, detail, headers)
    if isinstance(error, RequestValidationError | ValidationError):
        record_error_code(request, "invalid")
        return make_validation_problem(list(error.errors()))
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        record_error_code(request, code)
        return problem(error.status_code, code, first_line(Exception(error.detail)), error.headers)
    raise error


def one_line(error: Exception) -> str:
    """An error's message for the log, in which what a client has sent cannot begin a line of its own."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))


def record_error_code(request: Request, code: str) -> None:
    """Leave the code where metrics and the log find it."""
    request.scope.setdefault("state", {})["code"] = code


def install_error_handlers(app: FastAPI) -> None:
    """Let an application answer its errors this way."""
    for kind in (FirstsightError, RequestValidationError, ValidationError, HTTPException):
        app.add_exception_handler(kind, answer_error)
