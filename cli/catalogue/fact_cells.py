"""The facts of an item as one line each, for tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firstsight.understanding.fact_evidence import FactEvidence

UNKNOWN = "don't know"

_MIN_SHARE = 0.05


def fact_cells(evidence: FactEvidence) -> dict[str, str]:
    """Facts by name, such as {"colours": "red 67%, black 17%; pattern", "tags.category": "shoes (predicted, 93%)"}."""
    facts = evidence.facts
    cells: dict[str, str] = {}
    if "colour" in facts:
        cells["colour"] = str(facts["colour"])
    if "colours" in facts:
        cells["colours"] = _shares(facts["colours"])
    if "language" in facts:
        cells["language"] = str(facts["language"])
    if "quality" in facts:
        found = [
            f"{problem.problem.replace('_', ' ')}: {problem.measure.replace('_', ' ')} {problem.shown}, "
            f"{'above' if problem.is_high else 'below'} {problem.shown_threshold}"
            for problem in evidence.problems
        ]
        cells["quality"] = "; ".join(dict.fromkeys(found)) or "no problem found"
    if "ocr_text" in facts:
        cells["ocr_text"] = " / ".join(str(facts["ocr_text"]).splitlines()) or "none"
    if evidence.detections:
        cells["detectors"] = ", ".join(
            f"{entry.label} {entry.score:.2f} ({entry.detector})" for entry in evidence.detections
        )
    cells |= dict.fromkeys(evidence.unknown, UNKNOWN)
    for tag in evidence.tags:
        source = {"person": "corrected by a person", "catalogue": "from the catalogue"}.get(tag.by or "", "predicted")
        if tag.values:
            sure = "" if tag.by != "predicted" or tag.p is None else f", {tag.p:.0%}"
            cells[f"tags.{tag.tag}"] = f"{', '.join(tag.values)} ({source}{sure})"
        elif tag.by == "person":
            cells[f"tags.{tag.tag}"] = f"no value ({source})"
    return cells


def _shares(colours: Mapping[str, Any]) -> str:
    shares = [(name, share) for name, share in colours.items() if not isinstance(share, bool) and share >= _MIN_SHARE]
    shares.sort(key=lambda entry: -entry[1])
    flags = [name for name in ("multicolour", "pattern") if colours.get(name)]
    return "; ".join([", ".join(f"{name} {share:.0%}" for name, share in shares), *flags])
