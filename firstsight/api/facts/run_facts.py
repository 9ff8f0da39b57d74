"""Facts of an index run: its options change the stored settings, and the settings name the kinds."""

from __future__ import annotations

from firstsight.storage.store import Store
from firstsight.understanding.facts.detectors import detector_kinds
from firstsight.understanding.facts.fact_settings import (
    FactOptions,
    FactSettings,
    read_complete_facts,
    read_fact_settings,
    write_fact_settings,
)
from firstsight.understanding.facts.item_facts import KindsOfFacts
from firstsight.understanding.kinds_of_facts import make_item_facts
from firstsight.understanding.ocr.model_files import find_models


def check_fact_options(existing: Store | None, options: FactOptions) -> None:
    """Check options before anything is written.

    Args:
        existing: the database, if there is one.

    Raises:
        QueryError: an option is invalid, or a detector is not installed.
        OptionalDependencyError: text in pictures needs an extra that is not installed.
        EncoderError: the models for text in pictures cannot be used.
    """
    settings = (FactSettings() if existing is None else read_fact_settings(existing)).changed(options)
    detector_kinds(settings.detectors)
    if settings.ocr:
        find_models(settings.ocr_models)


def store_fact_options(store: Store, options: FactOptions) -> KindsOfFacts:
    """Store changed settings, and compose the kinds of facts that are on; the caller holds the writer lock.

    Raises:
        QueryError: an option is invalid, or a detector is not installed.
        StoreError: the database cannot be written.
    """
    settings = read_fact_settings(store).changed(options)
    facts = make_item_facts(store, settings)
    complete = read_complete_facts(store)
    versions = facts.versions
    if not store.items.count_rows():  # each item that follows gets all facts
        complete = versions
    write_fact_settings(store, settings, {n: v for n, v in versions.items() if complete.get(n) == v})
    return facts
