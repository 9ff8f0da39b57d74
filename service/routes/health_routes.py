"""Whether the process lives, whether it can answer, its figures; and the page's key."""

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
    """The encoder is still being loaded."""

    status, code = 503, "starting"


class SessionRequest(StrictModel):
    """A key, for the page to send from now on."""

    key: str


@router.get("/health", summary="The process lives", response_model=dict[str, str])
async def health() -> LibraryJSONResponse:
    """Always ok; touches nothing."""
    return LibraryJSONResponse({"status": "ok"})


@router.get("/ready", summary="The encoder and the database answer", response_model=dict[str, str | int])
def ready(service: ServiceDep) -> Response:
    """How many items there are, once the encoder is loaded and the database can be read."""
    if not service.databases.warm:
        raise NotReadyError("the encoder is being loaded; ask again", {"Retry-After": "1"})
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


@router.get("/metrics", summary="Figures in Prometheus' text format", response_class=Response)
def metrics(service: ServiceDep) -> Response:
    """Requests, failures, the encoder and the store; of all workers."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


@router.post("/session", summary="Let the page of a browser send a key by cookie", response_model=dict[str, list[str]])
def open_session(request: Request, body: SessionRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Keep a key in a cookie that no script reads and no other site sends."""
    if not service.keyring.in_use:
        return LibraryJSONResponse({"scopes": ["read", "write", "moderate"]})
    key = service.keyring.admit(body.key, None)
    if key is None:
        raise UnauthorizedError("this API key is not known, or was revoked")
    answer = LibraryJSONResponse({"scopes": list(key.scopes)})
    # the proxy that has TLS is not asked: the page's own Origin, which the gate has compared with Host, says it
    secure = request.headers.get("origin", "").lower().startswith("https://")
    answer.set_cookie(COOKIE, body.key, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.delete("/session", summary="Forget the page's key", response_model=dict[str, list[str]])
def close_session() -> LibraryJSONResponse:
    """Take the cookie away."""
    answer = LibraryJSONResponse({"scopes": []})
    answer.delete_cookie(COOKIE, path="/")
    return answer
