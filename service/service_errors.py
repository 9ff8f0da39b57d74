"""Errors for clients: problem+json (RFC 9457), made from the exceptions of `firstsight.errors`."""

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
    TagError,
    first_line,
)
from firstsight.service.json_responses import strip_local_folders

LOG: Final = logging.getLogger("firstsight.service")

BUSY_RETRY_S: Final = 5
"""Default Retry-After in seconds, such as while another process writes."""


class ServiceError(FirstsightError):
    """The service refuses or cannot serve a request; subclasses set `status` and `code`.

    Attributes:
        status: HTTP status.
        code: error code for programs, in snake_case.
        headers: headers of the answer, such as Retry-After.
    """

    status: int = 400
    code: str = "bad_request"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers: dict[str, str] = dict(headers or {})


class NotFoundError(ServiceError):
    """The item, view or route does not exist."""

    status, code = 404, "not_found"


class BodyTooLargeError(ServiceError):
    """The body has too many bytes."""

    status, code = 413, "body_too_large"


class BodyTimeoutError(ServiceError):
    """The body did not arrive in time."""

    status, code = 408, "body_timeout"


class OverloadedError(ServiceError):
    """The service has more work than it can do; the client should try again."""

    status, code = 503, "overloaded"


_PROBLEM_TYPES: tuple[tuple[type[FirstsightError], int, str, str | None], ...] = (
    (QueryError, 422, "query", None),
    (CatalogError, 422, "catalogue", None),
    (AuditLogError, 503, "audit_log", "the audit log cannot be used; the service's log says why"),
    (SafetyError, 422, "safety", None),
    (TagError, 422, "tag", None),
    (DatabaseBusyError, 503, "database_busy", "another process is writing to the database; try again"),
    (MissingDatabaseError, 503, "no_database", "there is no database yet; index a catalogue, or post items"),
    (StoreError, 503, "store", "the database cannot be used; the service's log says why"),
    (OptionalDependencyError, 422, "not_installed", None),  # names only a package, no path of this machine
    (InputError, 422, "bad_inputs", None),
    (EncoderError, 503, "encoder", "the encoder cannot be used; the service's log says why"),
    (FirstsightError, 500, "internal", "the service failed; its log says why"),
)
"""Class, status, code, and a message instead of one that could name paths of this machine. The first match counts."""


def describe_error(error: FirstsightError) -> tuple[int, str, str, dict[str, str]]:
    """Return status, code, detail and headers for an error of `firstsight.errors`."""
    if isinstance(error, ServiceError):
        return error.status, error.code, str(error), error.headers
    if isinstance(error, MediaError):
        return (413 if error.reason == "too_large" else 422), f"media_{error.reason}", str(error), {}
    _, status, code, message = next(row for row in _PROBLEM_TYPES if isinstance(error, row[0]))
    return status, code, message or str(error), {}


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Make an answer of type application/problem+json: {type, title, status, detail, code} and the fields of `more`.

    Every 429 and 503 has a Retry-After header.
    """
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    retry = {"Retry-After": str(BUSY_RETRY_S)} if status in (429, 503) else {}
    content = {
        "type": f"urn:firstsight:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    body = json.dumps(content | more)  # in ASCII: a message may quote invalid Unicode of the request
    return Response(body, status, headers=retry | dict(headers or {}), media_type="application/problem+json")


def make_validation_problem(errors: list[Any]) -> Response:
    """Make the answer for an invalid body or parameter; it does not repeat the values that were sent."""
    listed = [{"where": ".".join(str(part) for part in error["loc"]), "what": error["msg"]} for error in errors[:20]]
    summary = "; ".join(f"{error['where']}: {error['what']}" for error in listed[:3])
    return problem(422, "invalid", summary or "the request is invalid", errors=listed)


def answer_error(request: Request, error: Exception) -> Response:
    """Answer an exception with a problem, without the address of the database."""
    if isinstance(error, FirstsightError):
        status, code, detail, headers = describe_error(error)
        record_error_code(request, code)
        if status >= 500:
            LOG.warning("%s: %s", code, one_line(error))
        uri = request.app.state.service.settings.db
        detail = detail.replace(f" in {uri}", "").replace(uri, "the database")
        if isinstance(
            error, MediaError | SafetyError | CatalogError
        ):  # other messages quote the request, and ids may look like paths
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
    """An error's message on one line, so that text of a client cannot start a line of the log."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))


def record_error_code(request: Request, code: str) -> None:
    """Record the error code of a request for the metrics and the log."""
    request.scope.setdefault("state", {})["code"] = code


def install_error_handlers(app: FastAPI) -> None:
    """Answer the errors of an application with `answer_error`."""
    for kind in (FirstsightError, RequestValidationError, ValidationError, HTTPException):
        app.add_exception_handler(kind, answer_error)
