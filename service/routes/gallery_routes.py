"""Data routes that only the gallery page needs: the catalogue's columns, the map, items in review, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, FastAPI, Request
from fastapi import Query as Parameter

from firstsight.errors import FailureReason
from firstsight.retrieval.pages.space_map import Method
from firstsight.service.auth import has_scope
from firstsight.service.gallery import gallery_data
from firstsight.service.json_responses import LibraryJSONResponse
from firstsight.service.routes.gallery_state import get_gallery, open_store
from firstsight.service.state import Service, ServiceDep

PRELOADED_MODULES: Final = (
    "firstsight.recommend.slates.slate_maker",
    "firstsight.recommend.models.cold_start_model",
    "sklearn.manifold",
)
"""Modules imported in the background once the encoder is loaded. Otherwise the first slate and the first map would wait
a second or two for them."""

MAX_MAP: Final = 20_000
"""Maximum points of a map: a page with more is slow, and t-SNE takes minutes."""

MAX_VEILED: Final = 200
"""Maximum items of one GET /veiled: the page makes slates of at most 200 slots."""


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


@router.get("/catalogue", summary="Columns to search and filter by")
def catalogue(request: Request, service: ServiceDep) -> LibraryJSONResponse:
    """Counts of items and views, the encoder, and the catalogue's columns, with the values of columns that have few."""
    gallery = get_gallery(request, service)
    return LibraryJSONResponse(
        gallery.answers.get(("catalogue",), lambda: open_store(service), gallery_data.describe_catalogue)
    )


@router.get("/map", summary="The items on a plane")
async def space_map(
    request: Request,
    service: ServiceDep,
    sample: Annotated[int, Parameter(ge=1, le=MAX_MAP)] = 2_000,
    method: Method = "tsne",
) -> LibraryJSONResponse:
    """Map the items by their vectors: similar items are close together; kind, category and decision give colours.

    A map is cached for a minute while items change. Blocked items need the scope moderate.
    """
    gallery, key = get_gallery(request, service), ("map", sample, method)

    def answer(data: dict[str, Any]) -> LibraryJSONResponse:
        if has_scope(request, "moderate"):
            return LibraryJSONResponse(data)
        with service.databases.reading() as db:
            blocked = db.safety.blocked([point[2] for point in data["points"]])
        return LibraryJSONResponse(gallery_data.remove_blocked(data, blocked))

    def find_cached() -> LibraryJSONResponse | None:
        with open_store(service) as store:
            data = gallery.answers.cached(key, store)
        return None if data is None else answer(data)

    def make() -> LibraryJSONResponse:
        reading = partial(open_store, service, separate=method != "pca")
        place = partial(gallery_data.map_data, sample=sample, method=method)
        return answer(gallery.answers.get(key, reading, place))

    limiter = gallery.limiter if method == "pca" else gallery.map_limiter
    cached = await anyio.to_thread.run_sync(find_cached)
    return cached if cached is not None else await anyio.to_thread.run_sync(make, limiter=limiter)


@router.get("/veiled", summary="Which of these items are in review")
def veiled(
    request: Request,
    service: ServiceDep,
    item_id: Annotated[list[Annotated[str, Parameter(max_length=512)]], Parameter(max_length=MAX_VEILED)],
) -> LibraryJSONResponse:
    """Ids of the given items that are in review: a page should blur their pictures. Blocked items need moderate."""
    with service.databases.reading() as db:
        decisions = db.safety.decisions(item_id)
    veiling = {"review", "block"} if has_scope(request, "moderate") else {"review"}
    return LibraryJSONResponse({"veiled": sorted(i for i, decision in decisions.items() if decision in veiling)})


@router.get("/failures", summary="Media that failed to index, with the reasons")
def failures(
    request: Request,
    service: ServiceDep,
    reason: FailureReason | None = None,
    k: Annotated[int, Parameter(ge=1, le=1_000)] = 100,
    offset: Annotated[int, Parameter(ge=0)] = 0,
) -> LibraryJSONResponse:
    """Media that could not be used, latest first. Media of blocked items need the scope moderate."""
    with service.databases.reading() as db:
        rows = db.indexing.failures()
        if not has_scope(request, "moderate"):
            blocked = db.safety.blocked([row.item_id for row in rows])
            rows = [row for row in rows if row.item_id not in blocked]
    return LibraryJSONResponse(gallery_data.failures(rows, reason=reason, offset=offset, k=k))


async def _preload_modules(service: Service) -> None:
    while not service.databases.warm:
        await asyncio.sleep(0.2)
    for name in PRELOADED_MODULES:
        await asyncio.to_thread(import_module, name)
