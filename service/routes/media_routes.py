"""Pictures and videos of stored views, for the gallery page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import anyio
from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from starlette.responses import Response

from firstsight.database import open_tables
from firstsight.service.auth import refuse_if_blocked
from firstsight.service.gallery.byte_ranges import make_range_response
from firstsight.service.gallery.view_media import SIZES, StoredView, find_item_picture, find_view
from firstsight.service.json_responses import LibraryJSONResponse
from firstsight.service.routes.gallery_state import get_gallery, open_store
from firstsight.service.service_errors import NotFoundError
from firstsight.service.state import ServiceDep

MEDIA_HEADERS: Final = {
    "cache-control": "private, max-age=300",  # so a decision to block holds after five minutes at most
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}

T = TypeVar("T")

router = APIRouter(tags=["gallery"], default_response_class=LibraryJSONResponse)

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
_VIDEO: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "the requested range"},
    416: {"description": "the range starts past the end of the file"},
}
Size = Annotated[int, Parameter(ge=1, le=4_096, description=f"pixels of the longer side, rounded up to one of {SIZES}")]


@router.get("/media", summary="The picture of an item", response_class=Response, responses=_JPEG)
async def item_picture(request: Request, service: ServiceDep, item_id: str, size: Size = 384) -> Response:
    """The first picture of an item as a JPEG; if it has none, the first frame of its videos."""

    def make() -> Response:
        with service.databases.reading() as db:
            view = find_item_picture(open_tables(db), item_id)
        visible = _require_visible(request, view, f"item {item_id[:512]!r} has no picture")
        return _thumbnail(request, service, visible, size)

    return await _run_in_media_thread(request, service, make)


@router.get("/media/{view_id:path}/file", summary="The video of a view", response_class=Response, responses=_VIDEO)
async def view_file(request: Request, service: ServiceDep, view_id: str) -> Response:
    """The video file of a frame. Range requests are supported, so a player can start at any second."""

    def make() -> Response:
        view = _find_visible_view(request, service, view_id)
        media = get_gallery(request, service).media
        file, kind = media.open_video(view)
        answer = make_range_response(
            file,
            media_type=kind,
            etag=media.etag(view),
            range_header=request.headers.get("range"),
            if_range=request.headers.get("if-range"),
        )
        answer.headers.update(MEDIA_HEADERS)
        return answer

    return await _run_in_media_thread(request, service, make)


@router.get("/media/{view_id:path}", summary="The picture of a view", response_class=Response, responses=_JPEG)
async def view_picture(request: Request, service: ServiceDep, view_id: str, size: Size = 384) -> Response:
    """The picture or video frame of a view, as a JPEG."""

    def make() -> Response:
        return _thumbnail(request, service, _find_visible_view(request, service, view_id), size)

    return await _run_in_media_thread(request, service, make)


def _thumbnail(request: Request, service: ServiceDep, view: StoredView, size: int) -> Response:
    media = get_gallery(request, service).media
    headers = MEDIA_HEADERS | {"etag": media.etag(view, size)}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(media.thumbnail(view, size), media_type="image/jpeg", headers=headers)


def _find_visible_view(request: Request, service: ServiceDep, view_id: str) -> StoredView:
    with open_store(service) as store:
        view = find_view(store, view_id)
    return _require_visible(request, view, f"there is no view {view_id[:600]!r} with a medium")


def _require_visible(request: Request, view: StoredView | None, missing: str) -> StoredView:
    """The view; media of blocked items need the scope moderate.

    Raises:
        NotFoundError: there is no such view, or its item is blocked and the key lacks the scope moderate.
    """
    if view is None:
        raise NotFoundError(missing)
    refuse_if_blocked(request, NotFoundError(missing), blocked=view.blocked)
    return view


async def _run_in_media_thread(request: Request, service: ServiceDep, make: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(make, limiter=get_gallery(request, service).limiter)
