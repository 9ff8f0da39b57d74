"""The kinds of facts that the settings of a database turn on: the one place that names all kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from firstsight.extras import is_installed
from firstsight.storage.store import Store
from firstsight.understanding.facts.detectors import detector_kinds
from firstsight.understanding.facts.fact_kind import FactKind
from firstsight.understanding.facts.fact_settings import FactSettings, read_fact_settings
from firstsight.understanding.facts.item_facts import KindsOfFacts


def _colours(_store: Store, settings: FactSettings) -> Iterator[FactKind]:
    if settings.colours:
        from firstsight.understanding.colours.colour_facts import ColourFacts

        yield ColourFacts()


def _language(_store: Store, settings: FactSettings) -> Iterator[FactKind]:
    if settings.language and (settings.languages or is_installed("py3langid")):
        from firstsight.understanding.language.language_facts import LanguageFacts

        yield LanguageFacts(settings.languages)


def _ocr(_store: Store, settings: FactSettings) -> Iterator[FactKind]:
    if settings.ocr:
        from firstsight.understanding.ocr.ocr_facts import OcrFacts

        yield OcrFacts(settings.ocr_models)


def _quality(_store: Store, settings: FactSettings) -> Iterator[FactKind]:
    if settings.quality:
        from firstsight.understanding.quality.quality_facts import QualityFacts

        yield QualityFacts()


def _tags(store: Store, _settings: FactSettings) -> Iterator[FactKind]:
    from firstsight.understanding.tags.labels.tag_names import has_tags

    if has_tags(store):  # the models of tags import scipy, which takes a second
        from firstsight.understanding.tags.tag_facts import TagFacts

        yield TagFacts(store)


def _detectors(_store: Store, settings: FactSettings) -> Iterator[FactKind]:
    yield from detector_kinds(settings.detectors)


KINDS: Final[tuple[Callable[[Store, FactSettings], Iterator[FactKind]], ...]] = (
    _colours,
    _language,
    _ocr,  # before quality, which reads it to find watermarks
    _quality,
    _detectors,
    _tags,
)
"""Each gives the kinds that are on, and imports what they need only then. A new kind is one function here."""


def make_item_facts(store: Store, settings: FactSettings | None = None) -> KindsOfFacts:
    """Compose the kinds of facts that settings turn on.

    Args:
        store: the database; a kind may have models there.
        settings: None for the stored settings.

    Raises:
        QueryError: a detector is not installed.
        OptionalDependencyError: a kind that was asked for needs an extra that is not installed.
    """
    settings = read_fact_settings(store) if settings is None else settings
    return KindsOfFacts([kind for kinds in KINDS for kind in kinds(store, settings)])
