"""POST /items and DELETE /items/{id}, which answer after the commit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from firstsight.service.inputs.item_posting import index_rows, remove_item
from firstsight.service.json_responses import LibraryJSONResponse
from firstsight.service.routes.item_access import ItemIdPath, ItemIdQuery, item_not_found
from firstsight.service.routes.search_schemas import StrictModel
from firstsight.service.state import ServiceDep

router = APIRouter(tags=["items"], default_response_class=LibraryJSONResponse)

Value = str | bool | int | float | None
Media = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=64)] | str | None


MAX_COLUMNS = 100
"""Maximum columns of a posted row beyond those of firstsight."""


class PostedTimedProduct(StrictModel):
    """A product that a video shows, with its seconds."""

    product: str = Field(min_length=1, max_length=512, description="item id")
    start: float = Field(ge=0)
    end: float | None = Field(None, ge=0)


class PostedItem(BaseModel):
    """A catalogue row. Other keys are columns of the catalogue; each column holds texts, numbers or flags."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Value] = Field(init=False)

    @model_validator(mode="after")
    def _few_columns(self) -> PostedItem:
        # a new column stays in every row of the database for good
        if len(self.__pydantic_extra__) > MAX_COLUMNS:
            raise ValueError(f"a row can have at most {MAX_COLUMNS} columns beyond those of firstsight")
        return self

    item_id: str = Field(min_length=1, max_length=512)
    kind: str | None = Field(None, description="product, video or live; product by default")
    title: str | None = None
    text: str | None = None
    images: Media = Field(None, description="http(s) addresses, or data URIs in base64, which the service stores")
    videos: Media = Field(None, description="http(s) addresses")
    created_at: str | None = Field(None, description="ISO 8601, like the other times")
    starts_at: str | None = None
    expires_at: str | None = None
    timed_products: list[PostedTimedProduct] | str | None = Field(
        None, description="products that the video shows: a list, or a text such as mug-7@0:12-0:20"
    )


class PostedItems(StrictModel):
    """Catalogue rows to index."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"item_id": "mug-7", "title": "Blue mug with a wooden handle", "price": 12.5}]}]
        }
    )

    items: list[PostedItem] = Field(min_length=1, max_length=256)


class IndexedAnswer(BaseModel):
    """The result of an index run."""

    run_id: str
    seconds: float
    counts: dict[str, Any]
    failures: list[dict[str, Any]]
    warnings: list[str]


class RemovedAnswer(BaseModel):
    """Ids of the items that were removed."""

    removed: list[str]


@router.post("/items", response_model=IndexedAnswer, summary="Index catalogue rows now")
def post_items(body: PostedItems, service: ServiceDep) -> LibraryJSONResponse:
    """Index rows. After the answer, they are committed and searches find them."""
    rows = [item.model_dump(exclude_unset=True) for item in body.items]
    return LibraryJSONResponse(index_rows(service.databases, service.pictures, service.settings, rows))


@router.delete("/items", response_model=RemovedAnswer, summary="Remove an item, by any id")
def delete_item_by_any_id(item_id: ItemIdQuery, service: ServiceDep) -> LibraryJSONResponse:
    """As DELETE /items/{item_id}, but also for ids that a path cannot contain."""
    return delete_item(item_id, service)


@router.delete("/items/{item_id:path}", response_model=RemovedAnswer, summary="Remove an item")
def delete_item(item_id: ItemIdPath, service: ServiceDep) -> LibraryJSONResponse:
    """Remove an item with its views and posted pictures. The audit log keeps the decisions about it."""
    removed = remove_item(service.databases, service.settings, item_id)
    if not removed:
        raise item_not_found(item_id)
    return LibraryJSONResponse({"removed": removed})
