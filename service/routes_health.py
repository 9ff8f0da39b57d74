"""Whether the process lives, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from firstsight.errors import FirstsightError
from firstsight.service.answers import Answer
from firstsight.service.errors import describe, problem
from firstsight.service.state import ServiceDep

router = APIRouter(tags=["health"])


@router.get("/health", summary="The process lives", response_model=dict[str, str])
async def health() -> Answer:
    """Always ok; touches nothing."""
    return Answer({"status": "ok"})


@router.get("/ready", summary="The encoder and the database answer", response_model=dict[str, object])
def ready(service: ServiceDep) -> Response:
    """How many items there are, once the encoder is loaded and the database can be read."""
    try:
        with service.databases.reading() as db:
            return Answer({"status": "ready", "encoder": service.databases.encoder.spec.name, "items": db.count()})
    except FirstsightError as error:
        _, code, headers = describe(error)
        return problem(503, code, "the service cannot answer yet", headers)
