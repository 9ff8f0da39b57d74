"""POST /search, GET /items/{id}, similar items, and POST /recommend; each calls one function of the library."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi import Query as Parameter

from firstsight import Database
from firstsight.api.items import choose_pictures
from firstsight.database import open_tables
from firstsight.errors import QueryError
from firstsight.retrieval.query import MAX_RESULTS, Query
from firstsight.retrieval.results import SearchResult, SearchResults
from firstsight.service.auth import has_scope, require_scope
from firstsight.service.batching.batching_encoder import time_limit
from firstsight.service.batching.cancellation import run_until_cancelled
from firstsight.service.inputs.filter_guard import check_filter, check_visible_column, visible_columns
from firstsight.service.json_responses import LibraryJSONResponse, hide_local_uri
from firstsight.service.routes.item_access import ItemIdPath, ItemIdQuery, require_visible_item
from firstsight.service.routes.search_request import SearchRequestWithFiles, prepare_query, read_search_request
from firstsight.service.routes.search_schemas import (
    COLLAPSE,
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
from firstsight.service.state import ServiceDep

if TYPE_CHECKING:
    from firstsight import Recommendation, SimilarItem

router = APIRouter(tags=["search"], default_response_class=LibraryJSONResponse)

KINDS = ("product", "video", "live")


@router.post(
    "/search",
    response_model=SearchAnswer,
    summary="Search items by words, pictures, videos, items, vectors, or a combination",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": SearchRequest.model_json_schema()},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "query": {"type": "string", "description": "the JSON of the other content type"},
                            "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        },
                    }
                },
            },
        }
    },
)
async def search(
    request: Request, received: Annotated[SearchRequestWithFiles, Depends(read_search_request)], service: ServiceDep
) -> LibraryJSONResponse:
    """Search items. Results are ordered best first, each with the view that matched."""
    body = received.body
    if body.include_blocked:
        require_scope(request, "moderate")
    moderates = has_scope(request, "moderate")
    if body.where is not None:
        await run_sync(partial(check_filter, body.where, moderates=moderates))  # the longest take 50 ms
    check_visible_column(body.collapse, moderates=moderates)
    limit_s = service.settings.batching.timeout_s

    async def find() -> LibraryJSONResponse:
        with time_limit(limit_s):
            async with prepare_query(service, received) as query:
                results = await service.searches.search(PendingSearch(query, moderates=moderates))
        return await run_sync(partial(_search_response, query, results, moderates=moderates))

    return await run_until_cancelled(request, limit_s, find)


def _search_response(query: Query, results: SearchResults, *, moderates: bool) -> LibraryJSONResponse:
    end = query.offset + query.k
    more = len(results) + results.withheld == query.k and end + query.k <= MAX_RESULTS
    content = {
        "results": [result_as_json(result, moderates=moderates) for result in results],
        "snapshot": results.snapshot,
        "next_offset": end if more else None,
        "understood": results.understood,
    }
    return LibraryJSONResponse(content)


def result_as_json(result: SearchResult, *, moderates: bool) -> dict[str, Any]:
    """Convert a result to JSON, without local paths, and without safety scores unless `moderates`."""
    content = result.to_dict()
    content["columns"] = visible_columns(content["columns"], moderates=moderates)
    for name in ("view", "picture"):
        content[name] = hide_local_uri(content[name])
    for name in ("line", "clip", "picture_text"):
        if name in content:
            content[name] = hide_local_uri(content[name])
    if "moments" in content:
        content["moments"] = [hide_local_uri(moment) for moment in content["moments"]]
    return content


@router.get("/items/{item_id:path}/similar", response_model=SimilarAnswer, summary="Items similar to an item")
def similar(
    request: Request,
    item_id: ItemIdPath,
    service: ServiceDep,
    k: Annotated[int, Parameter(ge=1, le=MAX_K)] = 12,
    kinds: Annotated[list[ItemKind], Parameter(max_length=3)] = [],  # noqa: B006  # FastAPI copies it
    near_duplicate: Annotated[float, Parameter(gt=0, le=1)] = 1.0,
    collapse: Annotated[Literal["none"] | None, Parameter(description=COLLAPSE)] = None,
) -> LibraryJSONResponse:
    """The items with the most similar content; videos are compared frame by frame, and each has its moment."""
    with service.databases.slates() as db:
        require_visible_item(request, db, item_id)
        similar_items = db.similar(item_id, k=k, kinds=kinds, near_duplicate=near_duplicate, collapse=collapse)
        pictures = choose_pictures(open_tables(db), [item.item_id for item in similar_items])
    results = [_with_hidden_paths(item) | {"view_id": pictures.get(item.item_id)} for item in similar_items]
    return LibraryJSONResponse({"results": results, "videos": [entry.to_dict() for entry in similar_items.videos]})


@router.get("/items", response_model=ItemAnswer, summary="An item with its views, by any id")
def get_item_by_any_id(
    request: Request, item_id: ItemIdQuery, service: ServiceDep, vectors: bool = False
) -> LibraryJSONResponse:
    """As GET /items/{item_id}, but also for ids that a path cannot contain: `a/similar`, `..`, `a//b`."""
    return get_item(request, item_id, service, vectors)


@router.get("/items/{item_id:path}", response_model=ItemAnswer, summary="An item with its views")
def get_item(request: Request, item_id: ItemIdPath, service: ServiceDep, vectors: bool = False) -> LibraryJSONResponse:
    """The item with its views. A blocked item needs the scope moderate."""
    with service.databases.reading() as db:
        require_visible_item(request, db, item_id)
        item = db.get(item_id).to_dict(vectors=vectors)
    item["columns"] = visible_columns(item["columns"], moderates=has_scope(request, "moderate"))
    views = [hide_local_uri(view) or {} for view in item["views"]]
    return LibraryJSONResponse(item | {"views": views})


@router.post("/recommend", response_model=SlateAnswer, summary="A slate for a user")
def recommend(request: Request, body: RecommendRequest, service: ServiceDep) -> LibraryJSONResponse:
    """A slate from a user's logged events, from a history in the request, or both."""
    if body.log:
        require_scope(request, "write")
    settings = body.model_dump(exclude={"kinds", "history", "quotas"})
    history = None if body.history is None else [_history_event(event) for event in body.history]
    quotas: dict[str, int | float] = {str(kind): slots for kind, slots in body.quotas.items()}
    if body.kinds:
        if wrong := quotas.keys() - set(body.kinds):
            raise QueryError(f"quotas has {min(wrong)!r}, but kinds does not; remove the quota or add the kind")
        quotas |= dict.fromkeys(set(KINDS) - set(body.kinds), 0)
    with service.databases.slates() as db:
        slate = db.recommend(history=history, quotas=quotas, **settings)
        pictures = choose_pictures(open_tables(db), [item.item_id for item in slate])
        reasons = {interest.item_id for interest in slate.interests} | {item.because for item in slate if item.because}
        titles = _titles(request, db, sorted(reasons))
    return LibraryJSONResponse(
        {
            "slate_id": slate.slate_id,
            "items": [_with_hidden_paths(item) | {"view_id": pictures.get(item.item_id)} for item in slate],
            "interests": [interest.to_dict() for interest in slate.interests],
            "titles": titles,
            "missing": slate.missing,
            "events": slate.events,
            "bucket": slate.bucket,
            "versions": slate.versions,
        }
    )


def _with_hidden_paths(item: Recommendation | SimilarItem) -> dict[str, Any]:
    content = item.to_dict()
    return content | {name: hide_local_uri(content[name]) for name in ("moment", "clip") if name in content}


def _titles(request: Request, db: Database, item_ids: list[str]) -> dict[str, str]:
    """Titles by id, for the given items that have a title and that the client may see."""
    moderates = has_scope(request, "moderate")
    rows = open_tables(db).item_rows(item_ids)
    visible = {i: row["title"] for i, row in rows.items() if moderates or row.get("safety_decision") != "block"}
    return {item_id: title for item_id, title in visible.items() if title}


def _history_event(event: str | HistoryEvent) -> Any:
    return event if isinstance(event, str) else event.model_dump()
