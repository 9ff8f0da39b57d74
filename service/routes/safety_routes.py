"""Safety decisions with their reasons, the review queue, and decisions by people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from pydantic import BaseModel, ConfigDict, Field

import firstsight
from firstsight.api.items import choose_pictures
from firstsight.database import open_tables
from firstsight.service.auth import actor_name
from firstsight.service.json_responses import LibraryJSONResponse, hide_local_uri
from firstsight.service.routes.item_access import ItemIdPath, require_item
from firstsight.service.routes.search_schemas import StrictModel
from firstsight.service.state import ServiceDep

if TYPE_CHECKING:
    from firstsight.safety.audit.human_decisions import HumanDecision

router = APIRouter(prefix="/safety", tags=["safety"], default_response_class=LibraryJSONResponse)

Action = Literal["allow", "review", "block"]
PolicyIds = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=64)]
Reason = Annotated[str, Field(min_length=1, max_length=4_000)]
ActorName = Annotated[str, Field(min_length=1, max_length=200, description="the person that the key acts for")]


class DecisionRequest(StrictModel):
    """A decision about an item. It overrides the scores and becomes a training label."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "block", "policies": ["weapons"], "reason": "a real knife"}]}
    )

    action: Action
    policies: PolicyIds = Field(default_factory=list)
    reason: Reason
    by: ActorName | None = None


class AppealRequest(StrictModel):
    """An objection to the current decision."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "it is a bread knife"}]})

    reason: Reason
    by: ActorName | None = None


class OverturnRequest(AppealRequest):
    """A reversal of the current decision. `action` is the opposite by default."""

    action: Action | None = None
    policies: PolicyIds = Field(default_factory=list)


class ScoreRequest(StrictModel):
    """Settings of a scoring run."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    everything: bool = Field(False, description="all items, not only new and changed ones")
    region: str | None = Field(None, max_length=64)


class DecisionAnswer(BaseModel):
    """The decision that holds now."""

    item_id: str
    action: Action
    entry_id: str = Field(description="id of the entry in the audit log")


@router.get("/policies", response_model=dict[str, Any], summary="The policies in force")
def policies(service: ServiceDep) -> LibraryJSONResponse:
    """All policies, with the version of their file."""
    loaded = firstsight.open(service.settings.db).safety.with_policies(service.settings.policies).policies
    return LibraryJSONResponse({"version": loaded.version, "policies": [policy.to_dict() for policy in loaded.all]})


@router.get("/queue", response_model=dict[str, list[dict[str, Any]]], summary="The review queue")
def queue(
    service: ServiceDep,
    k: Annotated[int, Parameter(ge=1, le=1_000)] = 50,
    reach: Annotated[
        str | None, Parameter(max_length=200, description="a number column for ordering, such as views")
    ] = None,
) -> LibraryJSONResponse:
    """Items to review: appeals first, then by severity, uncertainty and reach; each with a picture."""
    with service.databases.reading() as db:
        waiting = db.safety.with_policies(service.settings.policies).queue(k=k, reach=reach)
        pictures = choose_pictures(open_tables(db), [entry.item_id for entry in waiting])
    queued = [entry.to_dict() | {"view_id": pictures.get(entry.item_id)} for entry in waiting]
    return LibraryJSONResponse({"queue": queued})


@router.post("/score", response_model=dict[str, Any], summary="Score new and changed items")
def score_items(body: ScoreRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Score items and update their decisions for searches. The answer comes after the whole run."""
    with service.databases.writing() as db:
        report = db.safety.with_policies(service.settings.policies).score(
            region=body.region, everything=body.everything, wait_s=service.settings.max_wait_s
        )
    return LibraryJSONResponse(report.to_dict())


@router.get(
    "/items/{item_id:path}", response_model=dict[str, Any], summary="The decision about an item, with its reasons"
)
def explain_item(
    item_id: ItemIdPath, service: ServiceDep, region: Annotated[str | None, Parameter(max_length=64)] = None
) -> LibraryJSONResponse:
    """The decision with its evidence, all scores, and the history."""
    with service.databases.reading() as db:
        require_item(db, item_id)
        explanation = db.safety.with_policies(service.settings.policies).explain(item_id, region).to_dict()
    return LibraryJSONResponse(explanation | {"evidence": [hide_local_uri(view) for view in explanation["evidence"]]})


@router.post("/items/{item_id:path}/decision", response_model=DecisionAnswer, summary="Decide about an item")
def decide(request: Request, item_id: ItemIdPath, body: DecisionRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Allow, block or send an item to review. The decision holds until the encoded content of the item changes."""
    with service.databases.writing() as db:
        require_item(db, item_id)
        decision = db.safety.with_policies(service.settings.policies).decide(
            item_id,
            body.action,
            policy=body.policies,
            reason=body.reason,
            by=actor_name(request, body.by),
            wait_s=service.settings.max_wait_s,
        )
    return _decision_response(decision)


@router.post("/items/{item_id:path}/appeal", response_model=dict[str, str], summary="Object to a decision")
def appeal(request: Request, item_id: ItemIdPath, body: AppealRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Put the item at the head of the review queue. Its decision stays until a person reviews it."""
    with service.databases.writing() as db:
        require_item(db, item_id)
        entry_id = db.safety.appeal(
            item_id, reason=body.reason, by=actor_name(request, body.by), wait_s=service.settings.max_wait_s
        )
    return LibraryJSONResponse({"item_id": item_id, "entry_id": entry_id})


@router.post("/items/{item_id:path}/overturn", response_model=DecisionAnswer, summary="Reverse a decision")
def overturn(request: Request, item_id: ItemIdPath, body: OverturnRequest, service: ServiceDep) -> LibraryJSONResponse:
    """Reverse the current decision, made by a person or by the scores."""
    with service.databases.writing() as db:
        require_item(db, item_id)
        decision = db.safety.with_policies(service.settings.policies).overturn(
            item_id,
            body.action,
            policy=body.policies,
            reason=body.reason,
            by=actor_name(request, body.by),
            wait_s=service.settings.max_wait_s,
        )
    return _decision_response(decision)


def _decision_response(decision: HumanDecision) -> LibraryJSONResponse:
    return LibraryJSONResponse({"item_id": decision.item_id, "action": decision.action, "entry_id": decision.entry_id})
