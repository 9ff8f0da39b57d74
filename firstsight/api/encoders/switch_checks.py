"""Checks before a switch of encoders; each refusal names the remedy."""

from __future__ import annotations

from pathlib import Path

from firstsight.api.models.dependent_models import DependentModel
from firstsight.errors import QueryError
from firstsight.storage.store import Store


def refuse_encoder_in_force(store: Store) -> None:
    raise QueryError(f"{store.spec.name} is in force in {store.uri}; name another encoder")


def require_other(store: Store, encoder: str | int | None) -> int:
    """The number of the set that is not in force, if `encoder` means it."""
    sets, standby = store.sets, None if store.sets is None else store.sets.standby
    if sets is None or standby is None:
        raise QueryError(
            f"{store.uri} has only the vectors of {store.spec.name}; make those of another encoder first: "
            "firstsight reindex --encoder NAME"
        )
    names = {None} if encoder is None else encoder_names(encoder)
    if names & {None, str(standby.number), standby.encoder}:
        return standby.number
    if names & {str(store.number), store.spec.name}:
        raise QueryError(f"{store.spec.name} is in force in {store.uri}; the other encoder is {standby.encoder}")
    raise QueryError(
        f"{store.uri} has no vectors of {encoder}; it has those of {store.spec.name} and {standby.encoder}"
    )


def encoder_names(encoder: str | int) -> set[str | None]:
    """An encoder as named, and with the whole path of its folder, as `starter:FOLDER` calls itself."""
    family, colon, path = str(encoder).partition(":")
    return {str(encoder), f"{family}:{Path(path).expanduser().resolve()}"} if colon else {str(encoder)}


def require_previous(store: Store) -> int:
    previous = None if store.sets is None else store.sets.previous
    if store.sets is None or previous is None or store.sets.get(previous) is None or previous == store.number:
        raise QueryError(f"{store.uri} has no encoder before {store.spec.name} to go back to")
    return previous


def refuse_gaps(store: Store, target: Store, missing: int) -> None:
    if missing:
        total = store.items.count_rows()
        raise QueryError(
            f"{missing:,} of {total:,} items have no current vectors of {target.spec.name}; make them first: "
            f"firstsight reindex --encoder {target.spec.name} (or --force: searches by vectors miss these items until "
            "the next index run)"
        )


def refuse_models(target: Store, blocking: list[DependentModel]) -> None:
    if blocking:
        raise QueryError(
            f"{len(blocking)} models in use were fitted to other vectors than those of {target.spec.name}: "
            f"{', '.join(model.describe() for model in blocking)}; switch with --force, then fit them again with these "
            "commands"
        )
