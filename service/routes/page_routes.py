"""The gallery page and its static files."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from firstsight.service.gallery.static_files import HEADERS, PAGE, static_files
from firstsight.service.service_errors import NotFoundError

router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request) -> Response:
    """Answer with the page."""
    return _static_file(request, PAGE)


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """Answer with one file of the page."""
    return _static_file(request, name)


def _static_file(request: Request, name: str) -> Response:
    file = static_files().get(name)
    if file is None:
        raise NotFoundError(f"the page has no file {name[:100]!r}")
    headers = HEADERS | {"etag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers | {"content-type": file.media_type})
