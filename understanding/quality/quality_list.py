"""The problems of a shop's pictures as a list, from the facts that are stored with the views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firstsight.errors import QueryError
from firstsight.records import Record, RecordList
from firstsight.understanding.quality.problems import PROBLEM_KINDS, FoundProblem, find_problems, in_order
from firstsight.understanding.quality.quality_facts import picture_measures
from firstsight.understanding.quality.watermarks import WatermarkTexts


@dataclass(frozen=True)
class StoredPicture:
    """A picture of an item with its facts."""

    view_id: str
    item_id: str
    title: str | None
    uri: str | None  # path or address
    facts: Mapping[str, Any] = field(default_factory=dict)  # values by name of the fact


@dataclass(frozen=True)
class PictureProblem(Record):
    """A problem of one picture, with its evidence."""

    item_id: str
    title: str | None
    uri: str | None  # path or address of the picture
    view_id: str
    problem: str  # such as "blurred"
    measure: str  # that shows the problem
    value: float  # of the measure
    threshold: float
    severity: float  # how far the value is beyond the threshold: 1 at the threshold, 2 at twice or half of it
    advice: str  # what to do


@dataclass(frozen=True)
class QualityReport(RecordList[PictureProblem]):
    """Problems of pictures, the most severe first."""

    problems: tuple[PictureProblem, ...]
    counts: dict[str, int]  # pictures with each problem, also of problems that are not listed
    pictures: int  # that were measured
    unmeasured: int  # pictures without the fact "quality"
    without_text: int  # measured pictures in which no text was read: whether they have a watermark is unknown


def list_problems(
    pictures: Iterable[StoredPicture], repeated: WatermarkTexts, *, only: Sequence[str] = (), limit: int | None = None
) -> QualityReport:
    """List the problems of pictures.

    Args:
        pictures: with their facts.
        repeated: the texts of all pictures of the shop, for watermarks.
        only: names of the problems to list; empty for all. The counts are of all problems.
        limit: maximum length of the list, 1 or more; None for no limit.

    Raises:
        QueryError: a problem has an unknown name, or the limit is below 1.
    """
    for name in only:
        if name not in PROBLEM_KINDS:
            raise QueryError(f"there is no problem {name!r}; give one of {', '.join(PROBLEM_KINDS)}")
    if limit is not None and limit < 1:
        raise QueryError(f"the limit of problems is {limit}; give 1 or more")
    found: list[PictureProblem] = []
    counts: Counter[str] = Counter()
    measured = unmeasured = without_text = 0
    for picture in pictures:
        measures = picture_measures(picture.facts, repeated)
        if measures is None:
            unmeasured += 1
            continue
        measured += 1
        without_text += measures["watermark"] is None
        for problem in find_problems(measures):
            counts[problem.kind.name] += 1
            if not only or problem.kind.name in only:
                found.append(_describe(picture, problem))
    found.sort(key=lambda problem: (-problem.severity, problem.item_id, problem.view_id, problem.problem))
    in_table = {name: counts[name] for name in in_order(counts)}
    return QualityReport(tuple(found[:limit]), in_table, measured, unmeasured, without_text)


def _describe(picture: StoredPicture, found: FoundProblem) -> PictureProblem:
    kind = found.kind
    return PictureProblem(
        *(picture.item_id, picture.title, picture.uri, picture.view_id),
        problem=kind.name,
        measure=kind.measure,
        value=found.value,
        threshold=kind.threshold,
        severity=kind.severity(found.value),
        advice=kind.advice,
    )
