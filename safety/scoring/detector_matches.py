"""Items in which an installed detector has found a label of a policy."""

from __future__ import annotations

from collections.abc import Sequence

from firstsight.safety.policy.decisions import Action, Evidence, most_severe
from firstsight.safety.policy.detector_scores import DetectorScore, detector_scores, read_detector_cuts
from firstsight.safety.policy.policies import Policy
from firstsight.storage.store import Store

MOST_VIEWS = 3
"""Views in the evidence of one item: those with the highest scores."""


def match_detectors(store: Store, policies: Sequence[Policy]) -> dict[str, tuple[Action, list[Evidence]]]:
    """Find the items that detectors send to review, or block by a cut that was chosen on labels.

    Returns:
        Item id -> action and evidence, the highest scores first.
    """
    cuts = read_detector_cuts(store)
    passed: dict[str, list[tuple[DetectorScore, Action, float]]] = {}
    for found in detector_scores(store, policies):
        cut = cuts.get(f"{found.policy_id}/{found.rule.detector}/{found.rule.label}")
        is_calibrated = cut is not None and cut.version == found.version
        block = cut.block if cut is not None and is_calibrated else None
        if block is not None and found.score >= block:
            passed.setdefault(found.item_id, []).append((found, "block", block))
        elif found.score >= found.rule.review:
            passed.setdefault(found.item_id, []).append((found, "review", found.rule.review))
    views = {row["view_id"]: row for row in store.view_rows(sorted(passed)).drop_columns("vector").to_pylist()}
    matches: dict[str, tuple[Action, list[Evidence]]] = {}
    for item_id, of_item in passed.items():
        ranked = sorted(of_item, key=lambda each: -each[0].score)
        evidence = [
            Evidence(
                *(found.policy_id, found.view_id, views[found.view_id]["part"], views[found.view_id]["uri"]),
                *(views[found.view_id]["time_s"], round(found.score, 4), round(cut, 4), "detector"),
                note=f"{found.rule.label} by {found.rule.detector}",
            )
            for found, _, cut in ranked[:MOST_VIEWS]
            if found.view_id in views
        ]
        if evidence:
            matches[item_id] = (most_severe([action for _, action, _ in ranked]), evidence)
    return matches
