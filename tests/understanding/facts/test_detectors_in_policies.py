"""Detectors in policies: review by a cut of the policy, blocks only by a cut that was chosen on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import firstsight
from firstsight.database import open_tables
from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.scoring.detector_matches import match_detectors
from firstsight.safety.scoring.overrides import find_overrides
from tests.understanding.facts.toy_detector import installed

POLICY = """
policies:
  - id: red-things
    parts: [image]
    detectors: {red: {label: RED, review: 0.9}}
"""


def test_a_detector_sends_items_to_review_and_blocks_only_after_calibration(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(130):
        is_red = number % 2 == 0
        name = f"{number}.png"
        Image.new("RGB", (16, 16), (250 if is_red else 10, 40, number)).save(tmp_path / name)
        rows.append({"item_id": str(number), "title": f"Thing {number}", "images": [name]})
    policies = parse_policies(POLICY, "policies.yaml")
    with installed(tmp_path):
        db = firstsight.open(tmp_path / "db")
        db.index(rows, root=tmp_path, detectors=["red"], colours=False, detect_language=False)
    safety = db.safety.with_policies(policies)
    before = match_detectors(open_tables(db), policies.in_force)
    assert set(before) == {str(n) for n in range(0, 130, 2)}
    assert {action for action, _ in before.values()} == {"review"}
    labels = [{"policy": "red-things", "label": 1 - n % 2, "item_id": str(n)} for n in range(130)]
    cuts, problems = safety.heads.calibrate_detectors(labels, precision=0.9)
    assert problems == ()
    (cut,) = cuts
    assert cut.block is not None
    assert 10 / 255 < cut.block <= 250 / 255
    assert (cut.positives, cut.negatives) == (65, 65)
    overrides = find_overrides(open_tables(db), policies)
    assert {override.action for override in overrides.values()} == {"block"}
    (evidence,) = overrides["0"].evidence
    assert (evidence.view_id, evidence.source, evidence.note) == ("0#image-0", "detector", "RED by red")


@pytest.mark.parametrize(
    ("detectors", "said"),
    [
        ("{red: {label: RED, review: 0.9, block: 0.95}}", "a cut for blocks is chosen on labels"),
        ("{red: {label: RED, review: 7}}", "review must be a number above 0, at most 1, not 7"),
        ("[red]", "detectors must be names with their label and cut"),
    ],
)
def test_a_wrong_detector_of_a_policy_is_explained(detectors: str, said: str) -> None:
    with pytest.raises(SafetyError, match=said):
        parse_policies(f"policies:\n  - id: red-things\n    detectors: {detectors}\n", "policies.yaml")
