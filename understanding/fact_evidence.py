"""The facts of one item with their evidence: colours of pictures, problems with thresholds, lines of text, tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from firstsight.errors import QueryError
from firstsight.records import Record
from firstsight.storage.facts.fact_columns import FACT_PREFIX
from firstsight.storage.facts.fact_names import TAGS, facts_of_row
from firstsight.storage.facts.view_fact_table import read_view_facts
from firstsight.storage.store import Store
from firstsight.storage.view_order import view_order
from firstsight.understanding.facts.detectors import DETECTOR_PREFIX
from firstsight.understanding.facts.fact_settings import FactSettings, read_fact_settings
from firstsight.understanding.quality.problems import PROBLEM_KINDS, find_problems
from firstsight.understanding.quality.quality_facts import picture_measures
from firstsight.understanding.quality.watermarks import OCR, WatermarkTexts, placed_texts
from firstsight.understanding.tags.labels.tag_names import VALUES, has_tags

MAX_KNOWN_VALUES: Final = 500
"""Values of a tag to choose from, at most; taxonomies have thousands."""

_WATERMARK: Final = "watermark"


@dataclass(frozen=True)
class ColourGroup(Record):
    """A group of similar pixels of a picture."""

    view_id: str
    hex: str  # such as "#bbd9ea"
    share: float  # of the pixels that were counted, 0 to 1


@dataclass(frozen=True)
class ItemProblem(Record):
    """A problem of a picture of an item."""

    view_id: str | None  # None for a watermark that other items show as well
    problem: str  # such as "blurred"
    measure: str  # that shows it
    value: float
    threshold: float
    is_high: bool  # whether values above the threshold are the problem, not those below
    shown: str  # the value with its unit
    shown_threshold: str
    advice: str  # what to do


@dataclass(frozen=True)
class TextInPicture(Record):
    """A line of text in a picture or frame."""

    view_id: str
    text: str
    score: float  # mean probability of its characters, 0 to 1
    box: tuple[tuple[float, float], ...]  # four corners (x, y) as shares of width and height


@dataclass(frozen=True)
class Detection(Record):
    """A label that a detector gave to a picture or frame."""

    view_id: str
    detector: str
    label: str
    score: float


@dataclass(frozen=True)
class TagOfItem(Record):
    """The best known value of a tag, and the values to choose from."""

    tag: str
    values: tuple[str, ...]  # none: "don't know", or a person said that the item has none
    p: float | None  # probability, 0 to 1; 1 for given values
    by: str | None  # person, catalogue or predicted
    multi: bool  # whether an item may have several values
    known_values: tuple[str, ...]  # of the tag, at most 500


@dataclass(frozen=True)
class FactEvidence(Record):
    """The facts of one item, and where they come from."""

    item_id: str
    facts: Mapping[str, Any]  # as in `Item.facts`
    unknown: tuple[str, ...]  # names of facts that are on, but of which the item has no value
    colours: tuple[ColourGroup, ...]  # of each picture, the largest group first
    problems: tuple[ItemProblem, ...]
    texts: tuple[TextInPicture, ...]
    detections: tuple[Detection, ...]
    tags: tuple[TagOfItem, ...]


def explain_facts(store: Store, item_id: str) -> FactEvidence:
    """Read the facts of an item with their evidence.

    Args:
        store: the database.
        item_id: id of the item.

    Raises:
        QueryError: there is no such item.
    """
    row = store.item_rows([item_id]).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    stored = read_view_facts(store, [item_id])
    views = {
        view_id: {name: fact["value"] for name, fact in stored[view_id].items()}
        for view_id in sorted(stored, key=view_order)
    }
    tags = tuple(_tags(store, item_id, row))
    return FactEvidence(
        item_id=item_id,
        facts=facts_of_row(row),
        unknown=tuple(_unknown(row, read_fact_settings(store), tags)),
        colours=tuple(_colours(views)),
        problems=tuple(_problems(item_id, row, views)),
        texts=tuple(_texts(views)),
        detections=tuple(_detections(views)),
        tags=tags,
    )


_Views = Mapping[str, Mapping[str, Any]]
"""Values of facts by view id and name."""


def _colours(views: _Views) -> Iterator[ColourGroup]:
    for view_id, facts in views.items():
        for cluster in (facts.get("colours") or {}).get("clusters", ()):
            yield ColourGroup(view_id, str(cluster["hex"]), float(cluster["share"]))


def _problems(item_id: str, row: Mapping[str, Any], views: _Views) -> Iterator[ItemProblem]:
    repeated = WatermarkTexts()
    for facts in views.values():
        repeated.add(item_id, placed_texts(facts.get(OCR)))
    found = set()
    for view_id, facts in views.items():
        for problem in find_problems(picture_measures(facts, repeated) or {}):
            found.add(problem.kind.name)
            yield _problem(view_id, problem.kind.name, problem.value)
    quality = row.get(f"{FACT_PREFIX}quality") or {}
    if _WATERMARK in str(quality.get("problems") or "").split(",") and _WATERMARK not in found:
        yield _problem(None, _WATERMARK, 1.0)  # pictures of other items have the same text


def _problem(view_id: str | None, name: str, value: float) -> ItemProblem:
    kind = PROBLEM_KINDS[name]
    return ItemProblem(
        *(view_id, name, kind.measure, value, kind.threshold, kind.is_high),
        shown=kind.shown(value),
        shown_threshold=kind.shown(kind.threshold),
        advice=kind.advice,
    )


def _texts(views: _Views) -> Iterator[TextInPicture]:
    for view_id, facts in views.items():
        for line in facts.get(OCR) or ():
            box = tuple((float(x), float(y)) for x, y in line.get("box") or ())
            yield TextInPicture(view_id, str(line["text"]), float(line.get("score", 0.0)), box)


def _detections(views: _Views) -> Iterator[Detection]:
    for view_id, facts in views.items():
        for name, found in facts.items():
            if name.startswith(DETECTOR_PREFIX) and isinstance(found, list):
                for entry in found:
                    if isinstance(entry, dict) and isinstance(entry.get("score"), int | float):  # of any package
                        detector = name.removeprefix(DETECTOR_PREFIX)
                        yield Detection(view_id, detector, str(entry.get("label")), float(entry["score"]))


def _tags(store: Store, item_id: str, row: Mapping[str, Any]) -> Iterator[TagOfItem]:
    if not has_tags(store):
        return
    # these import scipy, which takes a second: only if there are tags
    from firstsight.understanding.tags.labels.label_table import read_given_tags
    from firstsight.understanding.tags.tag_values import TagState, stored_tag

    state = TagState.read(store)
    given = read_given_tags(store, item_ids=[item_id]) if state.labelled else {}
    for tag in state.tags:
        model, best, by_person = state.models.get(tag), stored_tag(tag, row), given.get((tag, item_id))
        multi = model is not None and model.multi
        values = best.values
        if by_person is not None:
            values = by_person.values
        elif multi:
            values = tuple(part for value in values for part in value.split(VALUES))
        known = tuple(model.tree.names[:MAX_KNOWN_VALUES]) if model else _given_values(store, tag)
        yield TagOfItem(tag, values, best.p, best.by, multi, known)


def _given_values(store: Store, tag: str) -> tuple[str, ...]:
    """Values that people gave: all that is known of a tag without a version in use."""
    from firstsight.understanding.tags.labels.label_table import read_given_tags

    values = {value for given in read_given_tags(store, tag).values() for value in given.values}
    return tuple(sorted(values)[:MAX_KNOWN_VALUES])


def _unknown(row: Mapping[str, Any], settings: FactSettings, tags: tuple[TagOfItem, ...]) -> Iterator[str]:
    is_on = {"colour": settings.colours, "language": settings.language, "quality": settings.quality}
    for name, on in (is_on | {"ocr_text": settings.ocr}).items():
        if on and row.get(f"{FACT_PREFIX}{name}") is None:
            yield name
    for tag in tags:
        if not tag.values:
            yield f"{TAGS}.{tag.tag}"
