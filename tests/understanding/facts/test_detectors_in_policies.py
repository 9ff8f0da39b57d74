"""Wrong detectors of policies are refused; test_detectors_page.py scores with a right one."""

from __future__ import annotations

import pytest

from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import parse_policies


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
