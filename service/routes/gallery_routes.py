"""The page for people, and the few routes that it alone needs: pictures and videos, the map, columns, failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import APIRouter, FastAPI, Request
from fastapi import Query as Parameter
from starlette.responses import Response

from firstsight.errors import FailureReason
from firstsight.retrieval.pages.space_map import Method
from firstsight.service.auth import has_scope, refuse_if_blocked
from firstsight.service.gallery import gallery_data
from firstsight.service.gallery.byte_ranges import make_range_response
from firstsight.service.gallery.gallery_data import AnswerCache
from firstsight.service.gallery.static_files import HEADERS, PAGE, static_files
from firstsight.service.gallery.view_media import SIZES, StoredView, ViewMedia, find_item_picture, find_view
from firstsight.service.json_responses import LibraryJSONResponse
from firstsight.service.service_errors import NotFoundError
from firstsight.service.state import Service, ServiceDep
from firstsight.storage.store import Store

MEDIA_AT_ONCE = 8
"""Requests for pictures and videos that wait for decoders or other machines; the others wait before them, so that a
slow host never holds the threads that search needs."""

MEDIA_HEADERS = {
    "cache-control": "private, max-age=300",  # a decision to block holds after five minutes at the latest
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}

MAPS_AT_ONCE = 1
"""Maps that are placed at the same time: each takes a core for seconds or minutes, and searches need the others."""

PRELOADED_MODULES = (
    "firstsight.recommend.slates.slate_maker",
    "firstsight.recommend.models.cold_start_model",
    "sklearn.manifold",
)
"""What the first slate and the first map would else wait for, a second or two: imported once the encoder is there."""

MAX_MAP = 20_000
"""Most points of one map: a page of more is slow, and t-SNE takes minutes."""

MAX_VEILED = 200
"""Most items that are asked about at once: the most slots of a slate that the page makes."""

T = TypeVar("T")


@dataclass
class Gallery:
    """What the page's routes share in one application."""

    media: ViewMedia
    answers: AnswerCache = field(default_factory=AnswerCache)
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MEDIA_AT_ONCE))
    map_limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MAPS_AT_ONCE))


_gallery_lock = threading.Lock()


def get_gallery(request: Request, service: ServiceDep) -> Gallery:
    """The application's gallery, made when it is first needed."""
    with _gallery_lock:
        state = request.app.state
        if not hasattr(state, "gallery"):
            settings = service.settings
            state.gallery = Gallery(ViewMedia(settings.policy, workers=settings.decoders))
        found: Gallery = state.gallery
        return found


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    importing = asyncio.create_task(_preload_modules(app.state.service))
    try:
        yield
    finally:
        importing.cancel()
        if hasattr(app.state, "gallery"):
            await anyio.to_thread.run_sync(app.state.gallery.media.close)
            del app.state.gallery


router = APIRouter(tags=["gallery"], default_response_class=LibraryJSONResponse, lifespan=_lifespan)


@router.get("/", include_in_schema=False)
def page(request: Request) -> Response:
    """The page."""
    return _static(request, PAGE)


@router.get("/static/{name}", include_in_schema=False)
def static(request: Request, name: str) -> Response:
    """A file of the page."""
    return _static(request, name)


@router.get("/catalogue", summary="What there is to search and to filter by")
def catalogue(request: Request, service: ServiceDep) -> LibraryJSONResponse:
    """How many items and views, the encoder, and the catalogue's columns with the values that some of them have."""
    gallery = get_gallery(request, service)
    return LibraryJSONResponse(
        gallery.answers.get(("catalogue",), lambda: _store(service), gallery_data.describe_catalogue)
    )


@router.get("/map", summary="The items on a plane")
async def space_map(
    request: Request,
    service: ServiceDep,
    sample: Annotated[int, Parameter(ge=1, le=MAX_MAP)] = 2_000,
    method: Method = "tsne",
) -> LibraryJSONResponse:
    """Places by the items' vectors: near means alike; with their kinds, categories and decisions as colours.

    A map stands for a minute while items change. Items that are blocked are on it for the scope moderate alone.
    """
    gallery, key = get_gallery(request, service), ("map", sample, method)

    def tell(made: dict[str, Any]) -> LibraryJSONResponse:
        if has_scope(request, "moderate"):
            return LibraryJSONResponse(made)
        with _store(service) as store:
            blocked = gallery_data.find_blocked(store, [point[2] for point in made["points"]])
        return LibraryJSONResponse(gallery_data.remove_blocked(made, blocked))

    def find() -> LibraryJSONResponse | None:
        with _store(service) as store:
            made = gallery.answers.cached(key, store)
        return None if made is None else tell(made)

    def make() -> LibraryJSONResponse:
        reading = partial(_store, service, separate=method != "pca")
        place = partial(gallery_data.map_data, sample=sample, method=method)
        return tell(gallery.answers.get(key, reading, place))

    limiter = gallery.limiter if method == "pca" else gallery.map_limiter
    found = await anyio.to_thread.run_sync(find)
    return found if found is not None else await anyio.to_thread.run_sync(make, limiter=limiter)


@router.get("/veiled", summary="Which of these items are in review")
def veiled(
    request: Request,
    service: ServiceDep,
    item_id: Annotated[list[Annotated[str, Parameter(max_length=512)]], Parameter(max_length=MAX_VEILED)],
) -> LibraryJSONResponse:
    """Those whose pictures a page should blur until they are asked for; blocked ones for the scope moderate alone."""
    with _store(service) as store:
        found = gallery_data.find_decisions(store, item_id)
    shown = {"review", "block"} if has_scope(request, "moderate") else {"review"}
    return LibraryJSONResponse({"veiled": sorted(one for one, decision in found.items() if decision in shown)})


@router.get("/failures", summary="What failed to index, and why")
def failures(
    request: Request,
    service: ServiceDep,
    reason: FailureReason | None = None,
    k: Annotated[int, Parameter(ge=1, le=1_000)] = 100,
    offset: Annotated[int, Parameter(ge=0)] = 0,
) -> LibraryJSONResponse:
    """Media that could not be used, the last seen first; those of blocked items for the scope moderate alone."""
    with service.databases.reading() as db:
        rows = db.failures()
        if not has_scope(request, "moderate"):
            blocked = gallery_data.find_blocked(db.store, [row["item_id"] for row in rows])
            rows = [row for row in rows if row["item_id"] not in blocked]
    return LibraryJSONResponse(gallery_data.failures(rows, reason=reason, offset=offset, k=k))


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
            view = find_item_picture(db.store, item_id)
        return _thumbnail(
            request, service, _require_visible(request, view, f"item {item_id[:512]!r} has no picture"), size
        )

    return await _run_in_thread(request, service, make)


@router.get("/media/{view_id:path}/file", summary="The video of a view", response_class=Response, responses=_VIDEO)
async def view_file(request: Request, service: ServiceDep, view_id: str) -> Response:
    """The video file that a frame was taken from, with ranges, so that it can be played from there."""

    def make() -> Response:
        view = _view(request, service, view_id)
        media = get_gallery(request, service).media
        file, kind = media.open_video(view)
        asked, if_range = request.headers.get("range"), request.headers.get("if-range")
        answer = make_range_response(
            file, media_type=kind, etag=media.etag(view), range_header=asked, if_range=if_range
        )
        answer.headers.update(MEDIA_HEADERS)
        return answer

    return await _run_in_thread(request, service, make)


@router.get("/media/{view_id:path}", summary="The picture of a view", response_class=Response, responses=_JPEG)
async def view_picture(request: Request, service: ServiceDep, view_id: str, size: Size = 384) -> Response:
    """A picture or frame that is stored as a view, as a JPEG."""

    def make() -> Response:
        return _thumbnail(request, service, _view(request, service, view_id), size)

    return await _run_in_thread(request, service, make)


def _thumbnail(request: Request, service: ServiceDep, view: StoredView, size: int) -> Response:
    media = get_gallery(request, service).media
    headers = MEDIA_HEADERS | {"etag": media.etag(view, size)}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(media.thumbnail(view, size), media_type="image/jpeg", headers=headers)


def _view(request: Request, service: ServiceDep, view_id: str) -> StoredView:
    with _store(service) as store:
        view = find_view(store, view_id)
    return _require_visible(request, view, f"there is no view {view_id[:600]!r} with a medium")


def _require_visible(request: Request, view: StoredView | None, missing: str) -> StoredView:
    """The view, where it is there for whoever asks: media of blocked items are for moderators.

    Raises:
        NotFoundError: it is not.
    """
    if view is None:
        raise NotFoundError(missing)
    refuse_if_blocked(request, NotFoundError(missing), blocked=view.blocked)
    return view


@contextmanager
def _store(service: ServiceDep, *, separate: bool = False) -> Iterator[Store]:
    """A store to read; `separate` one that no search waits for, for what takes minutes."""
    with service.databases.maps() if separate else service.databases.reading() as db:
        yield db.store


async def _preload_modules(service: Service) -> None:
    while not service.databases.warm:
        await asyncio.sleep(0.2)
    for name in PRELOADED_MODULES:
        await asyncio.to_thread(import_module, name)


async def _run_in_thread(request: Request, service: ServiceDep, make: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(make, limiter=get_gallery(request, service).limiter)


def _static(request: Request, name: str) -> Response:
    file = static_files().get(name)
    if file is None:
        raise NotFoundError(f"the page has no file {name[:100]!r}")
    headers = HEADERS | {"etag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers | {"content-type": file.media_type})
