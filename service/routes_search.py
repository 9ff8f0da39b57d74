"""POST /search, GET /items/{id} and what is similar, POST /recommend: each calls one function of the library."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as Parameter
from starlette.datastructures import UploadFile

from firstsight import Database
from firstsight.errors import MediaError, QueryError
from firstsight.retrieval.query import MAX_RESULTS, Query
from firstsight.retrieval.results import SearchResult
from firstsight.service.answers import Answer, without_paths
from firstsight.service.auth import may, require
from firstsight.service.errors import NotFoundError
from firstsight.service.filters import check_filter, check_told, told_columns
from firstsight.service.pictures import is_address
from firstsight.service.search_shapes import (
    MAX_K,
    HistoryEvent,
    ItemAnswer,
    Kind,
    RecommendRequest,
    SearchAnswer,
    SearchRequest,
    SimilarAnswer,
    SlateAnswer,
)
from firstsight.service.state import Service, ServiceDep

router = APIRouter(tags=["search"], default_response_class=Answer)

MAX_UPLOADS = 16
KINDS = ("product", "video", "live")


@dataclass(frozen=True)
class Asked:
    """A search request, from JSON or from a form with files."""

    body: SearchRequest
    uploads: list[bytes]


async def read_asked(request: Request) -> Asked:
    """Read the query: the body as JSON, or of a form the field `query` (the same JSON) with files `images`."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return Asked(SearchRequest.model_validate_json(await request.body()), [])
    async with request.form(max_files=MAX_UPLOADS, max_fields=8) as form:
        unknown = form.keys() - {"query", "images"}
        if unknown:
            raise QueryError(f"the form has no field {sorted(unknown)[0][:40]!r}; give query and images")
        query = form.get("query", "{}")
        body = SearchRequest.model_validate_json(query if isinstance(query, str) else await query.read())
        files = form.getlist("images")
        if any(not isinstance(file, UploadFile) for file in files):
            raise QueryError("images of a form are files; give addresses and base64 in the field query")
        return Asked(body, [await file.read() for file in files if isinstance(file, UploadFile)])


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
def search(request: Request, asked: Annotated[Asked, Depends(read_asked)], service: ServiceDep) -> Answer:
    """Search; the best first, with the view that matched."""
    body = asked.body
    if body.include_blocked:
        require(request, "moderate")
    moderates = may(request, "moderate")
    if body.where is not None:
        check_filter(body.where, moderates=moderates)
    check_told(body.collapse, moderates=moderates)
    query = make_query(service, asked)
    with service.databases.reading() as db:
        found = db.search(query)
    last = body.offset + body.k
    more = len(found) + found.withheld == body.k and last + body.k <= MAX_RESULTS
    told = [tell_result(result, moderates=moderates) for result in found]
    return Answer({"results": told, "snapshot": found.snapshot, "next_offset": last if more else None})


def make_query(service: Service, asked: Asked) -> Query:
    """The library's query; its pictures decoded within the limits, its addresses public ones.

    Raises:
        QueryError, MediaError: it cannot be answered.
    """
    body = asked.body
    for video in body.videos:
        if not is_address(video):
            raise MediaError("forbidden", f"{video[:80]} is no http(s) address; a query video is named by one")
    fields = body.model_dump(exclude={"images", "minus_images"})
    images: list[str | bytes] = [*asked.uploads, *body.images]
    # the query checks itself before any picture is fetched or decoded; names stand for them meanwhile
    checked = Query(**fields, images=["?"] * len(images), minus_images=["?"] * len(body.minus_images))
    if not (images or body.minus_images):
        return checked
    min_side = service.databases.encoder.spec.min_side
    return replace(
        checked,
        images=[service.pictures.open(picture, min_side=min_side) for picture in images],
        minus_images=[service.pictures.open(picture, min_side=min_side) for picture in body.minus_images],
    )


def tell_result(result: SearchResult, *, moderates: bool) -> dict[str, Any]:
    """A result as JSON, less the addresses of this machine's files, and the scores where the key does not moderate."""
    told = result.as_dict()
    told["columns"] = told_columns(told["columns"], moderates=moderates)
    for name in ("view", "picture"):
        told[name] = without_paths(told[name])
    if "moments" in told:
        told["moments"] = [without_paths(moment) for moment in told["moments"]]
    return told


ItemPath = Annotated[str, Path(description="an item's id; it may hold slashes", examples=["sneakers-red"])]


@router.get("/items/{item_id:path}/similar", response_model=SimilarAnswer, summary="What is next to an item")
def similar(
    request: Request,
    item_id: ItemPath,
    service: ServiceDep,
    k: Annotated[int, Parameter(ge=1, le=MAX_K)] = 12,
    kinds: Annotated[list[Kind], Parameter(max_length=3)] = [],  # noqa: B006  # FastAPI copies it
    near_duplicate: Annotated[float, Parameter(gt=0, le=1)] = 1.0,
) -> Answer:
    """The items whose vectors are nearest, by content alone."""
    with service.databases.slates() as db:
        must_be_shown(request, db, item_id)
        found = db.similar(item_id, k=k, kinds=kinds, near_duplicate=near_duplicate)
        shown = db.pictures([one.item_id for one in found])
    return Answer({"results": [one.as_dict() | {"view_id": shown.get(one.item_id)} for one in found]})


@router.get("/items/{item_id:path}", response_model=ItemAnswer, summary="An item with its views")
def get_item(request: Request, item_id: ItemPath, service: ServiceDep, vectors: bool = False) -> Answer:
    """The item; one that is blocked is there for the scope moderate alone."""
    with service.databases.reading() as db:
        must_be_shown(request, db, item_id)
        item = db.get(item_id)
    item["columns"] = told_columns(item["columns"], moderates=may(request, "moderate"))
    views = [without_paths(view) or {} for view in item["views"]]
    if not vectors:
        item.pop("vector")
        views = [{name: value for name, value in view.items() if name != "vector"} for view in views]
    return Answer(item | {"views": views})


@router.post("/recommend", response_model=SlateAnswer, summary="A slate for a user")
def recommend(request: Request, body: RecommendRequest, service: ServiceDep) -> Answer:
    """A slate by a user's logged events, by a history given here, or both."""
    if body.log:
        require(request, "write")
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
    return Answer(
        {
            "slate_id": slate.slate_id,
            "items": [one.as_dict() | {"view_id": shown.get(one.item_id)} for one in slate],
            "interests": [vars(one) for one in slate.interests],
            "missing": slate.missing,
            "events": slate.events,
        }
    )


def must_exist(db: Database, item_id: str) -> None:
    """Answer 404 for an item that is not there.

    Raises:
        NotFoundError: there is none of this id.
    """
    if not db.has(item_id):
        raise no_such_item(item_id)


def must_be_shown(request: Request, db: Database, item_id: str) -> None:
    """Answer 404 for an item that is not there, and for one that is blocked unless the key moderates.

    Raises:
        NotFoundError: there is none of this id, or not for this key.
    """
    must_exist(db, item_id)
    if not may(request, "moderate") and db.is_blocked(item_id):
        raise no_such_item(item_id)


def no_such_item(item_id: str) -> NotFoundError:
    """The refusal for an id that is not there, or not for this key."""
    return NotFoundError(f"there is no item {item_id[:512]!r}")


def _event(one: str | HistoryEvent) -> Any:
    return one if isinstance(one, str) else one.model_dump()
