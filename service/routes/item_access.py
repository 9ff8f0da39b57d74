"""Ids of items in requests, and the answer 404 for items that do not exist or are hidden from the client."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi import Query as Parameter

from firstsight import Database
from firstsight.service.auth import refuse_if_blocked
from firstsight.service.service_errors import NotFoundError

ItemIdPath = Annotated[str, Path(description="an item's id; it may contain slashes", examples=["sneakers-red"])]

ItemIdQuery = Annotated[str, Parameter(min_length=1, max_length=512, description="an item's id, with any characters")]


def require_item(db: Database, item_id: str) -> None:
    """Answer 404 if an item does not exist.

    Raises:
        NotFoundError: no item has this id.
    """
    if item_id not in db:
        raise item_not_found(item_id)


def require_visible_item(request: Request, db: Database, item_id: str) -> None:
    """Answer 404 if an item does not exist, or if it is blocked and the key lacks the scope moderate.

    Raises:
        NotFoundError: no item has this id, or the key may not see it.
    """
    require_item(db, item_id)
    refuse_if_blocked(request, item_not_found(item_id), blocked=db.safety.is_blocked(item_id))


def item_not_found(item_id: str) -> NotFoundError:
    """The same error for an unknown id and for an item that the key may not see."""
    return NotFoundError(f"there is no item {item_id[:512]!r}")
