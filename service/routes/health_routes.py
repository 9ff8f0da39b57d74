"""Health, readiness, metrics, and the API key of the page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from firstsight.errors import FirstsightError
from firstsight.service.auth import COOKIE, UnauthorizedError
from firstsight.service.json_responses import LibraryJSONResponse, public_encoder_name
from firstsight.service.metrics import CONTENT_TYPE
from firstsight.service.routes.search_schemas import StrictModel
from firstsight.service.service_errors import ServiceError, describe_error, problem
from firstsight.service.state import ServiceDep

router = APIRouter(tags=["service"])


class NotReadyError(ServiceError):
    """The encoder is not loaded yet."""

    status, code = 503, "starting"


class SessionRequest(StrictModel):
    """The API key that the page will send."""

    key: str


@router.get("/health", summary="The process is alive", response_model=dict[str, str])
async def health() -> LibraryJSONResponse:
    """Always ok; reads nothing."""
    return LibraryJSONResponse({"status": "ok"})


@router.get("/ready", summary="The encoder and the database are ready", response_model=dict[str, str | int])
def ready(service: ServiceDep) -> Response:
    """The number of items and the encoder, once the encoder is loaded and the database can be read; else 503."""
    if not service.databases.warm:
        raise NotReadyError("the encoder is being loaded; try again", {"Retry-After": "1"})
    try:
        with service.databases.reading() as db:
            return LibraryJSONResponse(
                {
                    "status": "ready",
                    "encoder": public_encoder_name(service.databases.encoder.spec.name),
                    "items": db.count(),
                }
            )
    except FirstsightError as error:
        _, code, detail, headers = describe_error(error)
        return problem(503, code, detail, headers)


@router.get("/metrics", summary="Metrics in Prometheus' text format", response_class=Response)
def metrics(service: ServiceDep) -> Response:
    """Metrics of requests, failures, encoder and store, for all workers."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


@router.post("/session", summary="Store an API key in a cookie", response_model=dict[str, list[str]])
def open_session(request: Request, body: SessionRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Store the key in a cookie that no script can read and no other site can send."""
    if not service.keyring.in_use:
        return LibraryJSONResponse({"scopes": ["read", "write", "moderate"]})
    key = service.keyring.admit(body.key, None)
    if key is None:
        raise UnauthorizedError("this API key is not known, or was revoked")
    answer = LibraryJSONResponse({"scopes": list(key.scopes)})
    # Behind a TLS proxy, the scheme is known from Origin, which the gate has compared with Host.
    secure = request.headers.get("origin", "").lower().startswith("https://")
    answer.set_cookie(COOKIE, body.key, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.delete("/session", summary="Remove the cookie with the API key", response_model=dict[str, list[str]])
def close_session() -> LibraryJSONResponse:
    """Remove the cookie."""
    answer = LibraryJSONResponse({"scopes": []})
    answer.delete_cookie(COOKIE, path="/")
    return answer
