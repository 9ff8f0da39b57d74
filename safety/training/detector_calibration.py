"""Choose, on a shop's labels, the scores above which its detectors block items."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from firstsight.errors import SafetyError
from firstsight.heads.thresholds import choose_threshold
from firstsight.safety.policy.detector_scores import DetectorCut, detector_scores, write_detector_cuts
from firstsight.safety.policy.policies import Policies
from firstsight.safety.training.policy_labels import LabelSource, read_labels
from firstsight.storage.store import Store

DEFAULT_PRECISION: Final = 0.95


def calibrate_detectors(
    store: Store,
    labels: LabelSource,
    policies: Policies,
    *,
    precision: float = DEFAULT_PRECISION,
    wait_s: float = 0.0,
) -> tuple[list[DetectorCut], tuple[str, ...]]:
    """Choose a cut for each detector of each policy with labels, and store it; the next scoring uses it.

    The score of an item is the highest of its views; an item in which the label was not found has 0. A cut is stored
    only if `choose_threshold` shows that items above it have the precision.

    Args:
        store: the database, with the facts of the detectors.
        labels: as for `read_labels`; labels of files are left out.
        policies: with their detectors.
        precision: share of the blocked items that must belong to the policy, above 0 and below 1.
        wait_s: maximum wait for another writer, in seconds.

    Returns:
        The stored cuts, and the labels that were left out.

    Raises:
        SafetyError: no policy with labels has a detector, or the detectors have not run.
        DatabaseBusyError, StoreError: the database cannot be written.
    """
    found = read_labels(labels, policies, store)
    labelled = {row.policy_id for row in found.rows}
    chosen = [policy for policy in policies.in_force if policy.detectors and policy.id in labelled]
    if not chosen:
        named = ", ".join(policy.id for policy in policies.in_force if policy.detectors) or "none"
        raise SafetyError(f"no policy with usable labels has detectors; those with detectors: {named}")
    scores: dict[tuple[str, str, str], dict[str, float]] = {}
    versions: dict[tuple[str, str, str], set[str]] = {}
    for each in detector_scores(store, chosen):
        key = (each.policy_id, each.rule.detector, each.rule.label)
        versions.setdefault(key, set()).add(each.version)
        of_unit = scores.setdefault(key, {})
        for unit in (each.item_id, each.view_id):
            of_unit[unit] = max(each.score, of_unit.get(unit, 0.0))
    cuts = []
    for policy in chosen:
        rows = [row for row in found.rows if row.policy_id == policy.id and row.unit_kind != "path"]
        truth = np.array([row.label for row in rows])
        for rule in policy.detectors:
            key = (policy.id, rule.detector, rule.label)
            if len(versions.get(key, ())) != 1:
                state = "several versions of its facts" if key in versions else f"not found {rule.label} in any picture"
                raise SafetyError(
                    f"the detector {rule.detector!r} of policy {policy.id} has {state}; run firstsight facts update, "
                    "and check the label"
                )
            values = np.array([scores[key].get(row.name, 0.0) for row in rows])
            threshold = choose_threshold(values, truth, precision=precision)
            usable = threshold.attainable and threshold.cut > 0
            cuts.append(
                DetectorCut(
                    *(policy.id, rule.detector, rule.label, next(iter(versions[key]))),
                    block=float(threshold.cut) if usable else None,
                    precision=precision,
                    positives=int(truth.sum()),
                    negatives=int(len(truth) - truth.sum()),
                    reason=threshold.reason,
                    made_at=datetime.now(UTC),
                )
            )
    with store.writing(wait_s):
        write_detector_cuts(store, cuts)
    return cuts, tuple(found.problems)
