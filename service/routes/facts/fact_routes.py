"""Facts of an item with their evidence, corrections of its tags, the status of facts, and counts for filters."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi import Query as Parameter

from firstsight import Database
from firstsight.api.facts.facts import read_fact_status
from firstsight.errors import QueryError
from firstsight.service.auth import actor_name, has_scope
from firstsight.service.gallery.facet_counts import count_facets
from firstsight.service.inputs.filter_guard import check_filter
from firstsight.service.json_responses import LibraryJSONResponse
from firstsight.service.routes.facts.fact_schemas import (
    FacetsAnswer,
    FactEvidenceAnswer,
    FactStatusAnswer,
    TagAnswer,
    TagCorrection,
)
from firstsight.service.routes.gallery_state import get_gallery, open_store
from firstsight.service.routes.item_access import ItemIdPath, require_visible_item
from firstsight.service.routes.search_schemas import ItemKind
from firstsight.service.state import ServiceDep
from firstsight.storage.store import Store

router = APIRouter(tags=["facts"], default_response_class=LibraryJSONResponse)

TagName = Annotated[str, Path(min_length=1, max_length=40, description="name of a tag", examples=["category"])]
Selection = Annotated[str, Parameter(max_length=500, description="NAME=VALUE, such as colour=red")]


@router.get("/items/{item_id:path}/facts", response_model=FactEvidenceAnswer, summary="The facts of an item")
def facts_of_item(request: Request, item_id: ItemIdPath, service: ServiceDep) -> LibraryJSONResponse:
    """Colours, problems with their thresholds, text in pictures, and tags with their probabilities and sources."""
    with service.databases.reading() as db:
        require_visible_item(request, db, item_id)
        found = db.facts.explain(item_id)
    return LibraryJSONResponse(found.to_dict())


@router.put("/items/{item_id:path}/tags/{tag}", response_model=TagAnswer, summary="Correct a tag of an item")
def correct_tag(
    request: Request, item_id: ItemIdPath, tag: TagName, body: TagCorrection, service: ServiceDep
) -> LibraryJSONResponse:
    """Give an item its right values. They win at once, stay when it is indexed again, and are labels of trainings."""
    with service.databases.writing() as db:
        require_visible_item(request, db, item_id)
        by, wait_s = actor_name(request, body.by), service.settings.max_wait_s
        db.tags.correct(item_id, {tag: body.values}, by=by, wait_s=wait_s)
        return _tag_response(db, item_id, tag)


@router.delete("/items/{item_id:path}/tags/{tag}", response_model=TagAnswer, summary="Take a correction back")
def withdraw_tag(request: Request, item_id: ItemIdPath, tag: TagName, service: ServiceDep) -> LibraryJSONResponse:
    """Remove a person's values of a tag: the item has the catalogue's or predicted ones again."""
    with service.databases.writing() as db:
        require_visible_item(request, db, item_id)
        db.tags.withdraw(item_id, [tag], wait_s=service.settings.max_wait_s)
        return _tag_response(db, item_id, tag)


@router.get("/facts", response_model=FactStatusAnswer, summary="Which facts are on, and how many items have them")
def fact_status(request: Request, service: ServiceDep) -> LibraryJSONResponse:
    """The settings of facts and their counts, cached for a minute while items change."""

    def read(store: Store) -> dict[str, Any]:
        status = read_fact_status(store).to_dict()
        status.pop("db")
        status["settings"].pop("ocr_models")  # a folder of this machine
        return status

    gallery = get_gallery(request, service)
    return LibraryJSONResponse(gallery.answers.get(("facts",), lambda: open_store(service), read))


@router.get("/facets", response_model=FacetsAnswer, summary="Numbers of items by facts and tags")
def facets(
    request: Request,
    service: ServiceDep,
    where: Annotated[str | None, Parameter(max_length=8_000, description="a condition, as in a search")] = None,
    kind: Annotated[list[ItemKind], Parameter(max_length=3)] = [],  # noqa: B006  # FastAPI copies it
    selected: Annotated[list[Selection], Parameter(alias="is", max_length=16)] = [],  # noqa: B006
    unknown: Annotated[list[Selection], Parameter(max_length=16, description="facts without a value")] = [],  # noqa: B006
) -> LibraryJSONResponse:
    """Count the values of facts and tags, under the filters of a search. A facet ignores the selection in itself."""
    moderates = has_scope(request, "moderate")
    if where is not None:
        check_filter(where, moderates=moderates)
    choices: dict[str, str | None] = dict.fromkeys(unknown)
    for text in selected:
        name, found, value = text.partition("=")
        if not found:
            raise QueryError(f"the selection {text[:100]!r} has no value; give NAME=VALUE, such as colour=red")
        choices[name] = value
    key = ("facets", where, tuple(kind), tuple(sorted(choices.items(), key=str)), moderates)
    count = partial(count_facets, where=where, kinds=kind, selected=choices, moderates=moderates)
    return LibraryJSONResponse(get_gallery(request, service).facets.get(key, lambda: open_store(service), count))


def _tag_response(db: Database, item_id: str, tag: str) -> LibraryJSONResponse:
    found = next(found for found in db.facts.explain(item_id).tags if found.tag == tag)
    return LibraryJSONResponse({"item_id": item_id, **found.to_dict()})
