"""The facts of a database: the kinds that its settings turn on, as an index run uses them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from firstsight.extras import is_installed
from firstsight.indexer.facts.item_facts import FactItem
from firstsight.media.picture_facts import PictureFact
from firstsight.storage.store import Store
from firstsight.understanding.facts.detectors import detector_kinds
from firstsight.understanding.facts.fact_kind import FactKind, version_of
from firstsight.understanding.facts.fact_settings import FactSettings, read_fact_settings

log = logging.getLogger(__name__)


def _detectors(_store: Store, settings: FactSettings) -> Iterator[FactKind]:
    yield from detector_kinds(settings.detectors)


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


KINDS: Final[tuple[Callable[[Store, FactSettings], Iterator[FactKind]], ...]] = (
    _colours,
    _language,
    _ocr,  # before quality, which reads it to find watermarks
    _quality,
    _detectors,
    _tags,
)
"""Each gives the kinds that are on, and imports what they need only then. A new kind is one function here."""


class KindsOfFacts:
    """`indexer.facts.item_facts.ItemFacts` of several kinds.

    Args:
        kinds: with different names.
    """

    def __init__(self, kinds: Sequence[FactKind]) -> None:
        self.kinds = tuple(kinds)

    @property
    def picture_facts(self) -> Sequence[PictureFact]:
        """Functions of the kinds that need pictures."""
        return [kind.picture_fact for kind in self.kinds if kind.picture_fact is not None]

    @property
    def versions(self) -> dict[str, str]:
        """Version of each kind by name."""
        return {kind.name: version_of(kind) for kind in self.kinds}

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """Columns of all kinds."""
        return [field for kind in self.kinds for field in kind.fields]

    def columns(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Compute the columns of items.

        A kind leaves out its columns for an item that has pictures, but none with its fact: it was not found yet. An
        error of a kind costs its columns of the item alone.
        """
        found: list[dict[str, Any]] = [{} for _ in items]
        for kind in self.kinds:
            if not kind.fields:
                continue
            usable = [n for n, item in enumerate(items) if has_fact(item, kind.picture_fact)]
            for n, values in zip(usable, _values(kind, [items[n] for n in usable]), strict=True):
                found[n].update(values)
        return found


def has_fact(item: FactItem, fact: PictureFact | None) -> bool:
    """Whether a picture of the item has a fact; also True for an item without pictures, and without a function."""
    if fact is None:
        return True
    shown = [view for view in item.views if view.part in fact.parts]
    return not shown or any(fact.name in view.facts for view in shown)


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


def _values(kind: FactKind, items: Sequence[FactItem]) -> list[dict[str, Any]]:
    try:
        return kind.values(items)
    except Exception as error:  # of a kind that may not be ours: it must not cost the run
        nothing: dict[str, Any] = dict.fromkeys(field.name for field in kind.fields)
        if len(items) == 1:
            log.warning("%s of item %s could not be computed (%s)", kind.name, items[0].item_id, error)
            return [nothing]
        return [values for item in items for values in _values(kind, [item])]
