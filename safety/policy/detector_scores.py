"""Scores of installed detectors under the policies, and the cuts above which they block.

A policy names a detector, one of its labels and the score from which an item goes to review. A detector blocks only
with a cut that was chosen on the shop's labels (`training.detector_calibration`), for the version of the detector that
was calibrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from firstsight.records import Record
from firstsight.safety.policy.policies import DetectorRule, Policy
from firstsight.storage.facts.view_fact_table import all_view_facts
from firstsight.storage.side_tables import TableLocation, open_side_table, upsert
from firstsight.storage.tables import TIME, key_field
from firstsight.understanding.facts.detectors import DETECTOR_PREFIX

TABLE: Final = "detector_cuts"

SCHEMA: Final = pa.schema(
    [
        key_field("name"),  # policy/detector/label
        pa.field("policy", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),  # of the detector
        pa.field("block", pa.float64()),  # null if no cut reaches the precision
        pa.field("precision", pa.float64(), nullable=False),  # target
        pa.field("positives", pa.int64(), nullable=False),
        pa.field("negatives", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("made_at", TIME, nullable=False),
    ]
)


@dataclass(frozen=True)
class DetectorCut(Record):
    """The cut above which a label of a detector blocks an item, chosen on labels."""

    policy: str
    detector: str
    label: str
    version: str  # of the detector
    block: float | None  # None if no cut reaches the precision
    precision: float  # target
    positives: int
    negatives: int
    reason: str  # the guarantee and its evidence, or the missing evidence
    made_at: datetime

    @property
    def name(self) -> str:
        """Key of the cut."""
        return f"{self.policy}/{self.detector}/{self.label}"


@dataclass(frozen=True)
class DetectorScore:
    """The highest score of a label in one view."""

    policy_id: str
    rule: DetectorRule
    item_id: str
    view_id: str
    version: str  # of the detector
    score: float


def read_detector_cuts(store: TableLocation) -> dict[str, DetectorCut]:
    """All stored cuts by name."""
    table = open_side_table(store, TABLE)
    if table is None:
        return {}
    rows = table.search().limit(None).to_arrow().to_pylist()
    return {row.pop("name"): DetectorCut(**row) for row in rows}


def write_detector_cuts(store: TableLocation, cuts: Iterable[DetectorCut]) -> None:
    """Store cuts; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    upsert(store, TABLE, SCHEMA, "name", [{"name": cut.name, **cut.to_row()} for cut in cuts])


def detector_scores(store: TableLocation, policies: Iterable[Policy]) -> Iterator[DetectorScore]:
    """Read the scores of all views in which a detector has found a label of a policy."""
    rules = [(policy.id, rule) for policy in policies for rule in policy.detectors]
    if not rules:
        return
    for rows in all_view_facts(store):
        for view_id, item_id, facts in rows:
            for policy_id, rule in rules:
                fact = facts.get(f"{DETECTOR_PREFIX}{rule.detector}")
                score = None if fact is None else _highest(fact["value"], rule.label)
                if fact is not None and score is not None:
                    yield DetectorScore(policy_id, rule, item_id, view_id, fact["version"], score)


def _highest(found: Any, label: str) -> float | None:
    """The highest score of a label; None without one, and for values that are no scores: a package wrote them."""
    if not isinstance(found, list):
        return None
    scores = [
        float(each["score"])
        for each in found
        if isinstance(each, Mapping)
        and each.get("label") == label
        and isinstance(each.get("score"), int | float)
        and 0 <= each["score"] <= 1
    ]
    return max(scores, default=None)
