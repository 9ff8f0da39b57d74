"""Products in videos, with their seconds: of an item, proposals, and decisions about them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from pydantic import BaseModel, ConfigDict, Field

from firstsight.api.timed_products import MAX_LISTED
from firstsight.service.auth import actor_name, has_scope
from firstsight.service.json_responses import LibraryJSONResponse
from firstsight.service.routes.item_access import ItemIdPath, require_visible_item
from firstsight.service.routes.search_schemas import ItemId, StrictModel
from firstsight.service.state import ServiceDep

router = APIRouter(tags=["timed products"], default_response_class=LibraryJSONResponse)

EntryId = Annotated[str, Field(min_length=1, max_length=4_000)]


class ItemTimedProducts(BaseModel):
    """Products in the videos of an item, and videos that show the item; each as TimedProduct.to_dict."""

    products: list[dict[str, Any]]
    videos: list[dict[str, Any]]


class TimedProductList(BaseModel):
    """Entries, each as TimedProduct.to_dict."""

    entries: list[dict[str, Any]]


class ProposeRequest(StrictModel):
    """Videos to compare, and thresholds of proposals."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"videos": ["video-cat"]}, {}]})

    videos: list[ItemId] | None = Field(None, max_length=10_000, description="null for all videos")
    min_relevance: float = Field(0.75, ge=0, le=1)
    max_ratio: float = Field(0.7, ge=0, le=1)
    min_agreement: float = Field(0.5, ge=0, le=1)


class DecideRequest(StrictModel):
    """A decision about proposals."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"entries": ["video-7#mug-1#12.00"], "state": "accepted", "by": "ana"}]}
    )

    entries: list[EntryId] = Field(min_length=1, max_length=1_000)
    state: Literal["accepted", "rejected"]
    by: Annotated[str, Field(min_length=1, max_length=200, description="the person who decides")] | None = None


@router.get(
    "/items/{item_id:path}/timed-products",
    response_model=ItemTimedProducts,
    summary="Products in a video, and videos that show a product",
)
def of_item(
    request: Request, item_id: ItemIdPath, service: ServiceDep, include_proposed: bool = False
) -> LibraryJSONResponse:
    """The products that the item's videos show, and the videos that show the item, with their seconds.

    Evidence and the person who decided need the scope write.
    """
    with service.databases.reading() as db:
        require_visible_item(request, db, item_id)
        products = db.timed_products.of_video(item_id, include_proposed=include_proposed)
        videos = db.timed_products.of_product(item_id, include_proposed=include_proposed)
    shown = {
        name: [(entry if has_scope(request, "write") else entry.without_review()).to_dict() for entry in found]
        for name, found in (("products", products), ("videos", videos))
    }
    return LibraryJSONResponse(shown)


@router.get("/timed-products", response_model=TimedProductList, summary="Products in all videos")
def entries(
    request: Request,
    service: ServiceDep,
    state: Literal["proposed", "accepted", "rejected"] | None = None,
    k: Annotated[int, Parameter(ge=1, le=MAX_LISTED)] = 100,
) -> LibraryJSONResponse:
    """Entries in order of video and second. Those of blocked items need the scope moderate, reviews the scope write."""
    with service.databases.reading() as db:
        found = db.timed_products.entries(state=state, k=k, include_blocked=has_scope(request, "moderate"))
    if not has_scope(request, "write"):
        found = tuple(entry.without_review() for entry in found)
    return LibraryJSONResponse({"entries": [entry.to_dict() for entry in found]})


@router.post("/timed-products/proposals", response_model=dict[str, int], summary="Propose products from frames")
def propose(body: ProposeRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Compare frames of videos with product pictures, and store proposals. The answer comes after the whole run."""
    with service.databases.writing() as db:
        report = db.timed_products.propose(**body.model_dump(), wait_s=service.settings.max_wait_s)
    return LibraryJSONResponse(report.to_dict())


@router.post("/timed-products/decisions", response_model=TimedProductList, summary="Accept or reject proposals")
def decide(request: Request, body: DecideRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Accepted proposals are shown from now on; rejected ones are never made again."""
    with service.databases.writing() as db:
        act = db.timed_products.accept if body.state == "accepted" else db.timed_products.reject
        decided = act(body.entries, by=actor_name(request, body.by), wait_s=service.settings.max_wait_s)
    return LibraryJSONResponse({"entries": [entry.to_dict() for entry in decided]})
