"""POST /search, GET /items/{id} and what is similar, POST /recommend: each calls one function of the library."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as Parameter

from firstsight import Database
from firstsight.errors import QueryError
from firstsight.retrieval.query import MAX_RESULTS, Query
from firstsight.retrieval.results import SearchResult, SearchResults
from firstsight.service.auth import has_scope, refuse_if_blocked, require_scope
from firstsight.service.batching.batching_encoder import time_limit
from firstsight.service.batching.cancellation import run_until_cancelled
from firstsight.service.inputs.filter_guard import check_filter, check_visible_column, visible_columns
from firstsight.service.json_responses import LibraryJSONResponse, hide_local_uri
from firstsight.service.routes.search_request import SearchRequestWithFiles, prepare_query, read_search_request
from firstsight.service.routes.search_schemas import (
    MAX_K,
    HistoryEvent,
    ItemAnswer,
    ItemKind,
    RecommendRequest,
    SearchAnswer,
    SearchRequest,
    SimilarAnswer,
    SlateAnswer,
)
from firstsight.service.search_queue import PendingSearch
from firstsight.service.service_errors import NotFoundError
from firstsight.service.state import ServiceDep

router = APIRouter(tags=["search"], default_response_class=LibraryJSONResponse)

KINDS = ("product", "video", "live")


@router.post(
    "/search",
    response_model=SearchAnswer,
    summary="Find items by words, pictures, videos, items, or several of them",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": SearchRequest.model_json_schema()},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "query": {"type": "string", "description": "the JSON above"},
                            "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        },
                    }
                },
            },
        }
    },
)
async def search(
    request: Request, asked: Annotated[SearchRequestWithFiles, Depends(read_search_request)], service: ServiceDep
) -> LibraryJSONResponse:
    """Search; the best first, with the view that matched."""
    body = asked.body
    if body.include_blocked:
        require_scope(request, "moderate")
    moderates = has_scope(request, "moderate")
    if body.where is not None:
        await run_sync(partial(check_filter, body.where, moderates=moderates))  # the longest take 50 ms
    check_visible_column(body.collapse, moderates=moderates)
    limit_s = service.settings.batching.timeout_s

    async def find() -> LibraryJSONResponse:
        with time_limit(limit_s):
            async with prepare_query(service, asked) as query:
                found = await service.searches.search(PendingSearch(query, moderates=moderates))
        return await run_sync(partial(_search_response, query, found, moderates=moderates))

    return await run_until_cancelled(request, limit_s, find)


def _search_response(query: Query, found: SearchResults, *, moderates: bool) -> LibraryJSONResponse:
    last = query.offset + query.k
    more = len(found) + found.withheld == query.k and last + query.k <= MAX_RESULTS
    told = [result_as_json(result, moderates=moderates) for result in found]
    return LibraryJSONResponse({"results": told, "snapshot": found.snapshot, "next_offset": last if more else None})


def result_as_json(result: SearchResult, *, moderates: bool) -> dict[str, Any]:
    """A result as JSON, less the addresses of this machine's files, and the scores where the key does not moderate."""
    told = result.as_dict()
    told["columns"] = visible_columns(told["columns"], moderates=moderates)
    for name in ("view", "picture"):
        told[name] = hide_local_uri(told[name])
    if "moments" in told:
        told["moments"] = [hide_local_uri(moment) for moment in told["moments"]]
    return told


ItemIdPath = Annotated[str, Path(description="an item's id; it may hold slashes", examples=["sneakers-red"])]


@router.get("/items/{item_id:path}/similar", response_model=SimilarAnswer, summary="What is next to an item")
def similar(
    request: Request,
    item_id: ItemIdPath,
    service: ServiceDep,
    k: Annotated[int, Parameter(ge=1, le=MAX_K)] = 12,
    kinds: Annotated[list[ItemKind], Parameter(max_length=3)] = [],  # noqa: B006  # FastAPI copies it
    near_duplicate: Annotated[float, Parameter(gt=0, le=1)] = 1.0,
) -> LibraryJSONResponse:
    """The items whose vectors are nearest, by content alone."""
    with service.databases.slates() as db:
        require_visible_item(request, db, item_id)
        found = db.similar(item_id, k=k, kinds=kinds, near_duplicate=near_duplicate)
        shown = db.pictures([one.item_id for one in found])
    return LibraryJSONResponse({"results": [one.as_dict() | {"view_id": shown.get(one.item_id)} for one in found]})


ItemIdQuery = Annotated[str, Parameter(min_length=1, max_length=512, description="an item's id, whatever stands in it")]


@router.get("/items", response_model=ItemAnswer, summary="An item with its views, by any id")
def get_item_by_any_id(
    request: Request, item_id: ItemIdQuery, service: ServiceDep, vectors: bool = False
) -> LibraryJSONResponse:
    """As GET /items/{item_id}, also for ids that a path cannot hold: `a/similar`, `..`, `a//b`."""
    return get_item(request, item_id, service, vectors)


@router.get("/items/{item_id:path}", response_model=ItemAnswer, summary="An item with its views")
def get_item(request: Request, item_id: ItemIdPath, service: ServiceDep, vectors: bool = False) -> LibraryJSONResponse:
    """The item; one that is blocked is there for the scope moderate alone."""
    with service.databases.reading() as db:
        require_visible_item(request, db, item_id)
        item = db.get(item_id)
    item["columns"] = visible_columns(item["columns"], moderates=has_scope(request, "moderate"))
    views = [hide_local_uri(view) or {} for view in item["views"]]
    if not vectors:
        item.pop("vector")
        views = [{name: value for name, value in view.items() if name != "vector"} for view in views]
    return LibraryJSONResponse(item | {"views": views})


@router.post("/recommend", response_model=SlateAnswer, summary="A slate for a user")
def recommend(request: Request, body: RecommendRequest, service: ServiceDep) -> LibraryJSONResponse:
    """A slate by a user's logged events, by a history given here, or both."""
    if body.log:
        require_scope(request, "write")
    settings = body.model_dump(exclude={"kinds", "history", "quotas"})
    history = None if body.history is None else [_event(one) for one in body.history]
    quotas: dict[str, int | float] = {str(kind): slots for kind, slots in body.quotas.items()}
    if body.kinds:
        if wrong := quotas.keys() - set(body.kinds):
            raise QueryError(f"there is a quota for {min(wrong)}, and kinds leaves it out; give one of the two")
        quotas |= dict.fromkeys(set(KINDS) - set(body.kinds), 0)
    with service.databases.slates() as db:
        slate = db.recommend(history=history, quotas=quotas, **settings)
        shown = db.pictures([one.item_id for one in slate])
        reasons = {one.item_id for one in slate.interests} | {one.because for one in slate if one.because}
        titles = _titles(request, db, sorted(reasons))
    return LibraryJSONResponse(
        {
            "slate_id": slate.slate_id,
            "items": [one.as_dict() | {"view_id": shown.get(one.item_id)} for one in slate],
            "interests": [vars(one) for one in slate.interests],
            "titles": titles,
            "missing": slate.missing,
            "events": slate.events,
        }
    )


def _titles(request: Request, db: Database, item_ids: list[str]) -> dict[str, str]:
    """The titles of those of these items that have one and are shown to whoever asks."""
    moderates = has_scope(request, "moderate")
    rows = db.store.item_rows(item_ids)
    shown = {i: row["title"] for i, row in rows.items() if moderates or row.get("safety_decision") != "block"}
    return {item_id: title for item_id, title in shown.items() if title}


def require_item(db: Database, item_id: str) -> None:
    """Answer 404 for an item that is not there.

    Raises:
        NotFoundError: there is none of this id.
    """
    if not db.has(item_id):
        raise item_not_found(item_id)


def require_visible_item(request: Request, db: Database, item_id: str) -> None:
    """Answer 404 for an item that is not there, and for one that is blocked unless the key moderates.

    Raises:
        NotFoundError: there is none of this id, or not for this key.
    """
    require_item(db, item_id)
    refuse_if_blocked(request, item_not_found(item_id), blocked=db.is_blocked(item_id))


def item_not_found(item_id: str) -> NotFoundError:
    """The refusal for an id that is not there, or not for this key."""
    return NotFoundError(f"there is no item {item_id[:512]!r}")


def _event(one: str | HistoryEvent) -> Any:
    return one if isinstance(one, str) else one.model_dump()
