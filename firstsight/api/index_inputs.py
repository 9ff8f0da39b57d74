"""Inputs of index runs: how they are opened and recorded, and the failed items of earlier runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Final

from firstsight.indexer.catalog import Catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.formats.source import MEMORY, STDIN, Source
from firstsight.indexer.inputs.input_kinds import CatalogueInput, open_input
from firstsight.indexer.run_recipe import Recipe
from firstsight.storage.store import Store

GONE: Final = {
    STDIN: ("standard input, which is gone", "name their catalogue: firstsight index CATALOGUE --retry"),
    MEMORY: ("rows in memory, which are gone", "pass these rows again: db.retry(rows)"),
}
"""Sources that a retry cannot open again, with the remedy."""


def open_catalogue(
    source: CatalogueInput, options: CatalogOptions | None, root: str | os.PathLike[str] | None
) -> Source:
    """Open a catalogue in the encoding of its options."""
    return open_input(source, encoding=(options or CatalogOptions()).encoding, root=root)


def recorded_name(source: CatalogueInput) -> str:
    """Name of a catalogue in the recipe of its run."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else MEMORY


def warn_of_catalogue(catalog: Catalog, on_warning: Callable[[str], None]) -> None:
    """Report what a catalogue leaves out, and its columns that look like media and are not used."""
    for note in catalog.notes:
        on_warning(note)
    for unused in catalog.media.unused():
        on_warning(unused.message)


def failed_items(store: Store) -> list[tuple[Recipe, set[str]]]:
    """Group the items with failures by the recipe of their run; frames of a stream cannot be retried."""
    recipes = {
        run["run_id"]: json.dumps(run["settings"], sort_keys=True)
        for run in store.run_rows()
        if run["settings"].get("kind") != "watch"
    }
    failed: dict[str, set[str]] = {}
    for row in store.failure_rows():
        if row["run_id"] in recipes:
            failed.setdefault(recipes[row["run_id"]], set()).add(row["item_id"])
    return [(Recipe.from_dict(json.loads(recipe)), item_ids) for recipe, item_ids in failed.items()]
