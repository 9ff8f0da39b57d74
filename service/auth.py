"""Who may do what."""

from __future__ import annotations

from typing import Literal

from fastapi import Request

from firstsight.service.errors import ServiceError

Scope = Literal["read", "write", "moderate"]


class ForbiddenError(ServiceError):
    """The key does not reach so far."""

    status, code = 403, "forbidden"


def require(request: Request, scope: Scope, refusal: ServiceError | None = None) -> None:
    """Refuse a request whose key has not this scope; where no keys are in use, every request has every scope.

    Raises:
        ForbiddenError: or `refusal`.
    """
    scopes = request.scope.get("state", {}).get("scopes")
    if scopes is not None and scope not in scopes:
        raise refusal or ForbiddenError(f"this key has not the scope {scope}; ask for one that has it")
