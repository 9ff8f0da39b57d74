"""The page for people, and the few routes that it alone needs: pictures and videos, the map, columns, failures."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Request
from fastapi import Query as Parameter
from starlette.responses import Response

from firstsight.errors import FailureReason
from firstsight.retrieval.space_map import Method
from firstsight.service import gallery_data
from firstsight.service.answers import Answer
from firstsight.service.auth import may, must_see
from firstsight.service.byte_ranges import answer_range
from firstsight.service.errors import NotFoundError
from firstsight.service.gallery_data import Answers
from firstsight.service.state import ServiceDep
from firstsight.service.static_files import HEADERS, PAGE, static_files
from firstsight.service.view_media import SIZES, StoredView, ViewMedia, find_view, picture_of

MEDIA_AT_ONCE = 8
"""Requests for pictures and videos that wait for decoders or other machines; the others wait before them, so that a
slow host never holds the threads that search needs."""

MEDIA_HEADERS = {
    "cache-control": "private, max-age=300",  # a decision to block holds after five minutes at the latest
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}

MAX_MAP = 20_000
"""Most points of one map: a page of more is slow, and t-SNE takes minutes."""

T = TypeVar("T")


@dataclass
class Gallery:
    """What the page's routes share in one application."""

    media: ViewMedia
    answers: Answers = field(default_factory=Answers)
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MEDIA_AT_ONCE))
    mapping: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(1)
    )  # a large map takes minutes


_making = threading.Lock()


def gallery_of(request: Request, service: ServiceDep) -> Gallery:
    """The application's gallery, made when it is first needed."""
    with _making:
        state = request.app.state
        if not hasattr(state, "gallery"):
            settings = service.settings
            state.gallery = Gallery(ViewMedia(settings.policy, workers=settings.decoders))
        found: Gallery = state.gallery
        return found


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if hasattr(app.state, "gallery"):
            await anyio.to_thread.run_sync(app.state.gallery.media.close)
            del app.state.gallery


router = APIRouter(tags=["gallery"], default_response_class=Answer, lifespan=_lifespan)


@router.get("/", include_in_schema=False)
def page(request: Request) -> Response:
    """The page."""
    return _static(request, PAGE)


@router.get("/static/{name}", include_in_schema=False)
def static(request: Request, name: str) -> Response:
    """A file of the page."""
    return _static(request, name)


@router.get("/catalogue", summary="What there is to search and to filter by")
def catalogue(request: Request, service: ServiceDep) -> Answer:
    """How many items and views, the encoder, and the catalogue's columns with the values that some of them have."""
    gallery = gallery_of(request, service)
    with service.databases.reading() as db:
        store = db.store
        return Answer(gallery.answers.get(("catalogue",), store, lambda: gallery_data.describe(store)))


@router.get("/map", summary="The items on a plane")
async def space_map(
    request: Request,
    service: ServiceDep,
    sample: Annotated[int, Parameter(ge=1, le=MAX_MAP)] = 2_000,
    method: Method = "tsne",
) -> Answer:
    """Places by the items' vectors: near means alike; with their kinds, categories and decisions as colours.

    A map stands for a minute while items change. Items that are blocked are on it for the scope moderate alone.
    """
    gallery, key = gallery_of(request, service), ("map", sample, method)
    blocked_too = may(request, "moderate")

    def tell(made: dict[str, Any]) -> Answer:
        return Answer(made if blocked_too else gallery_data.without_blocked(made))

    def find() -> Answer | None:
        with service.databases.reading() as db:
            kept = gallery.answers.kept(key, db.store)
        return None if kept is None else tell(kept)

    def make() -> Answer:
        # of a database that nobody searches, so that maps of all sizes hold up no search
        with service.databases.mapping() as db:
            store = db.store
            return tell(
                gallery.answers.get(key, store, lambda: gallery_data.map_data(store, sample=sample, method=method))
            )

    found = await run_sync(find)
    return found if found is not None else await run_sync(make, limiter=gallery.mapping)


@router.get("/failures", summary="What failed to index, and why")
def failures(
    service: ServiceDep,
    reason: FailureReason | None = None,
    k: Annotated[int, Parameter(ge=1, le=1_000)] = 100,
    offset: Annotated[int, Parameter(ge=0)] = 0,
) -> Answer:
    """Media that could not be used, the last seen first."""
    with service.databases.reading() as db:
        rows = db.failures()
    return Answer(gallery_data.failures(rows, reason=reason, offset=offset, k=k))


_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
_VIDEO: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "the part that the Range header asked for"},
    416: {"description": "the part lies past the end"},
}
Size = Annotated[int, Parameter(ge=1, le=4_096, description=f"of the longer side; one of {SIZES} that is as much")]


@router.get("/media", summary="The picture that stands for an item", response_class=Response, responses=_JPEG)
async def item_picture(request: Request, service: ServiceDep, item_id: str, size: Size = 384) -> Response:
    """The first picture of an item, else a frame of its videos, as a JPEG."""

    def make() -> Response:
        with service.databases.reading() as db:
            view = picture_of(db.store, item_id)
        return _thumbnail(request, service, _visible(request, view, f"item {item_id[:512]!r} has no picture"), size)

    return await _off_loop(request, service, make)


@router.get("/media/{view_id:path}/file", summary="The video of a view", response_class=Response, responses=_VIDEO)
async def view_file(request: Request, service: ServiceDep, view_id: str) -> Response:
    """The video file that a frame was taken from, with ranges, so that it can be played from there."""

    def make() -> Response:
        with service.databases.reading() as db:
            view = find_view(db.store, view_id)
        view = _visible(request, view, f"there is no view {view_id[:600]!r} with a medium")
        media = gallery_of(request, service).media
        file, kind = media.open_video(view)
        asked, if_range = request.headers.get("range"), request.headers.get("if-range")
        answer = answer_range(file, media_type=kind, etag=media.tag(view), asked=asked, if_range=if_range)
        answer.headers.update(MEDIA_HEADERS)
        return answer

    return await _off_loop(request, service, make)


@router.get("/media/{view_id:path}", summary="The picture of a view", response_class=Response, responses=_JPEG)
async def view_picture(request: Request, service: ServiceDep, view_id: str, size: Size = 384) -> Response:
    """A picture or frame that is stored as a view, as a JPEG."""

    def make() -> Response:
        with service.databases.reading() as db:
            view = find_view(db.store, view_id)
        view = _visible(request, view, f"there is no view {view_id[:600]!r} with a medium")
        return _thumbnail(request, service, view, size)

    return await _off_loop(request, service, make)


def _thumbnail(request: Request, service: ServiceDep, view: StoredView, size: int) -> Response:
    media = gallery_of(request, service).media
    headers = MEDIA_HEADERS | {"etag": media.tag(view, size)}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(media.thumbnail(view, size), media_type="image/jpeg", headers=headers)


def _visible(request: Request, view: StoredView | None, missing: str) -> StoredView:
    """The view, where it is there for whoever asks: media of blocked items are for moderators.

    Raises:
        NotFoundError: it is not.
    """
    if view is None:
        raise NotFoundError(missing)
    must_see(request, NotFoundError(missing), blocked=view.blocked)
    return view


async def _off_loop(request: Request, service: ServiceDep, make: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(make, limiter=gallery_of(request, service).limiter)


def _static(request: Request, name: str) -> Response:
    file = static_files().get(name)
    if file is None:
        raise NotFoundError(f"the page has no file {name[:100]!r}")
    headers = HEADERS | {"etag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers | {"content-type": file.media_type})
