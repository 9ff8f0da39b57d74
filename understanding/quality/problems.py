"""Problems of pictures: which measure shows each one, from which threshold, and what a shop does about it.

docs/quality.md has the share of pictures without the problem that each threshold still reports.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from firstsight.media.picture_facts import JsonValue

MIN_DETAIL: Final = 1_000
"""Pixels of the longer side; a picture with more detail than that is sharp enough to zoom in, however soft."""

MAX_ENLARGED_DETAIL: Final = 2_000
"""The same for pictures that were enlarged: the original file is better in any case, unless it was large."""

TRACE_OF_ENLARGEMENT: Final = 1.0
"""`enlargement` from which a soft picture counts as enlarged, not as blurred."""


@dataclass(frozen=True)
class ProblemKind:
    """A problem of a picture that one measure shows."""

    name: str
    measure: str
    threshold: float
    is_high: bool  # whether values above the threshold are the problem, not those below
    unit: str  # of the measure, for people; "%" for shares
    advice: str

    def severity(self, value: float) -> float:
        """How far a value is beyond the threshold: 1 at the threshold, 2 at twice or half of it."""
        low, high = (self.threshold, value) if self.is_high else (value, self.threshold)
        return max(high, 1e-6) / max(low, 1e-6)

    def shown(self, value: float) -> str:
        """A value with its unit, such as "1.2 px" or "14 %"."""
        if self.unit == "%":
            return f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
        number = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        return f"{number} {self.unit}".rstrip()


PROBLEMS: Final = (
    ProblemKind("near_empty", "content", 0.01, False, "%", "Replace the placeholder or empty picture."),
    ProblemKind("blurred", "blur", 0.68, True, "px", "Take the picture again, or use the original file."),
    ProblemKind("upscaled", "blur", 0.68, True, "px", "Use the original file: this one was enlarged."),
    ProblemKind("dark", "brightness", 0.51, False, "%", "Brighten the picture, or take it again with more light."),
    ProblemKind("bars", "bars", 0.02, True, "%", "Crop the bars at the sides."),
    ProblemKind("compressed", "blocking", 0.75, True, "", "Save the original again at JPEG quality 80 or more."),
    ProblemKind("low_resolution", "longer_side", 500, False, "px", "Use a picture of 1,000 pixels or more."),
    ProblemKind("extreme_aspect", "elongation", 3.0, True, "", "Crop the picture closer to a square."),
    ProblemKind("watermark", "watermark", 0.5, True, "", "Use a picture without the text over it."),
)
"""Every problem, in the order of lists."""

PROBLEM_KINDS: Final = {kind.name: kind for kind in PROBLEMS}

Measures = Mapping[str, JsonValue]
"""Measures of one picture: those of `picture_quality.measure`, and "watermark" where text was read."""


@dataclass(frozen=True)
class FoundProblem:
    """A problem of a picture with its evidence."""

    kind: ProblemKind
    value: float  # of the measure


def find_problems(measures: Measures) -> list[FoundProblem]:
    """Compare the measures of a picture with the thresholds; a measure that is None shows no problem."""
    values = {name: float(value) for name, value in measures.items() if isinstance(value, int | float)}
    width, height = values.get("width"), values.get("height")
    if width and height:
        values |= {"longer_side": max(width, height), "elongation": max(width, height) / min(width, height)}
    found = []
    for kind in PROBLEMS:
        value = values.get(kind.measure)
        if value is None or not (operator.gt if kind.is_high else operator.lt)(value, kind.threshold):
            continue
        if _APPLIES.get(kind.name, _always)(values):
            found.append(FoundProblem(kind, value))
    return found


def in_order(names: Iterable[str]) -> list[str]:
    """Names of problems, each once, in the order of `PROBLEMS`."""
    chosen = set(names)
    return [name for name in PROBLEM_KINDS if name in chosen]


def _always(_: Mapping[str, float]) -> bool:
    return True


def _is_soft(values: Mapping[str, float]) -> bool:
    limit = MAX_ENLARGED_DETAIL if _is_enlarged(values) else MIN_DETAIL
    return values.get("detail", 0.0) < limit and _has_content(values)


def _has_content(values: Mapping[str, float]) -> bool:
    # an empty picture has only the edges of noise
    return values.get("content", 1.0) >= PROBLEM_KINDS["near_empty"].threshold


def _is_enlarged(values: Mapping[str, float]) -> bool:
    return values.get("enlargement", 0.0) >= TRACE_OF_ENLARGEMENT


_APPLIES: Final[Mapping[str, Callable[[Mapping[str, float]], bool]]] = {
    "blurred": lambda values: _is_soft(values) and not _is_enlarged(values),
    "upscaled": lambda values: _is_soft(values) and _is_enlarged(values),
    "compressed": _has_content,
}
