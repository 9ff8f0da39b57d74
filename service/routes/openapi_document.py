"""The OpenAPI document: what FastAPI makes of the routes, with keys and problems added."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

DESCRIPTION = """Items of a catalogue: found by text, picture or video, recommended, reviewed.

Errors are `application/problem+json`; `code` is for programs. Where the service has API keys, each request brings one
of the scope that its route needs: `read`, `write` or `moderate`.
"""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "examples": [
        {
            "type": "urn:firstsight:problem:query",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "there is nothing to search by; give a text, a picture, a video or an item",
            "code": "query",
        }
    ],
}


def make_openapi(app: FastAPI) -> dict[str, Any]:
    """The document of an application; made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        parts = made.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        for gone in ("HTTPValidationError", "ValidationError"):
            schemas.pop(gone, None)
        schemas["Problem"] = _PROBLEM
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        made["security"] = [{}, {"bearer": []}, {"key": []}]
        answer = {
            "description": "Why it could not be answered",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for path in made["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = answer
        app.openapi_schema = made
    return app.openapi_schema
