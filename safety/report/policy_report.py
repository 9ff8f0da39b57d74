"""Report on policies as one HTML page: ranking quality, cuts, calibration, slices, label suspects and drift."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Labels
from firstsight.heads.curves import (
    PrecisionRecall,
    Reliability,
    precision_recall,
    reliability,
    score_histogram,
)
from firstsight.heads.drift import Drift, score_drift
from firstsight.heads.intervals import check_sample
from firstsight.heads.slices import SliceRate, slice_rates
from firstsight.heads.thresholds import Threshold, choose_threshold
from firstsight.records import Record
from firstsight.retrieval.pages.plots import interval_bar
from firstsight.retrieval.pages.templating import page_template
from firstsight.safety.report.report_plots import (
    drift_plot,
    histogram_plot,
    precision_recall_plot,
    reliability_plot,
)

PRECISIONS = (0.5, 0.8, 0.9, 0.95, 0.99)
RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Targets of the threshold table."""

SHOWN_SLICES = 40
SHOWN_SUSPECTS = 40
"""Maximum number of rows of a table on the page; the table gives the total."""


@dataclass(frozen=True)
class LabelSuspect(Record):
    """A label to check again."""

    name: str  # item_id, view_id or path
    label: int
    chance: float  # probability of the other label, 0 to 1


@dataclass(frozen=True)
class HeldOutPolicy:
    """Inputs of the report on one policy: held-out scores and labels, cuts, slice columns and current scores."""

    policy_id: str
    name: str
    scores: Floats  # (n,) probabilities for rows that the head did not see
    labels: Labels  # (n,)
    weights: Floats | None = None  # (n,) catalogue rows per held-out row
    prevalence: float | None = None  # in the catalogue, applied after the weights; None if labels have the same
    review: float | None = None  # cut
    block: float | None = None  # cut; None if nothing is blocked
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # (n,) values of each slice column
    suspects: Sequence[LabelSuspect] = ()  # the most likely first
    today: Floats | None = None  # (m,) current scores of the items
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class PolicyReport(Record):
    """The figures of one policy."""

    policy_id: str
    name: str
    rows: int
    positives: int
    curve: PrecisionRecall
    reliability: Reliability
    precision_targets: tuple[tuple[float, Threshold], ...]
    recall_targets: tuple[tuple[float, Threshold], ...]
    at_cuts: tuple[tuple[str, float, float, float], ...]  # (name, cut, precision, recall) on the held-out rows
    slices: tuple[SliceRate, ...]
    suspects: tuple[LabelSuspect, ...]
    drift: Drift | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {
            "policy": self.policy_id,
            "rows": self.rows,
            "positives": self.positives,
            "prevalence": self.curve.prevalence,
            "average_precision": self.curve.average_precision,
            "calibration_error": self.reliability.calibration_error,
            "brier": self.reliability.brier,
            "cuts": {name: {"cut": c, "precision": p, "recall": r} for name, c, p, r in self.at_cuts},
            "slices_that_differ": [
                {"column": s.column, "value": s.value, "measure": s.measure, "rate": s.rate, "rest": s.rest, "p": s.p}
                for s in self.slices
                if s.differs
            ],
            "label_suspects": len(self.suspects),
            "psi": None if self.drift is None else self.drift.psi,
            "drift": None if self.drift is None else self.drift.verdict,
        }


@dataclass(frozen=True)
class SafetyReport(Record):
    """The figures of all policies with labels."""

    policies: tuple[PolicyReport, ...]
    problems: tuple[str, ...]  # rows of labels that were left out, with reasons


def measure(policy: HeldOutPolicy) -> PolicyReport:
    """Compute all figures of the report on one policy.

    Slices are measured at the review cut: a false positive there costs a seller time, and a miss reaches buyers.

    Raises:
        SafetyError: the arrays differ in length, only one class has labels, or a score is no probability.
    """
    try:
        return _measure(policy)
    except SafetyError as error:
        raise SafetyError(f"policy {policy.policy_id}: {error}") from None


def _measure(policy: HeldOutPolicy) -> PolicyReport:
    s, y, w = check_sample(policy.scores, policy.labels, policy.weights)
    curve = precision_recall(s, y, weights=w, prevalence=policy.prevalence)
    if policy.prevalence is not None:
        w = w * np.where(y == 1, policy.prevalence / w[y == 1].sum(), (1 - policy.prevalence) / w[y == 0].sum())
    cuts = {"review": policy.review, "block": policy.block}
    at_cuts = []
    for name, cut in cuts.items():
        if cut is not None:
            flagged = s >= cut
            hits = float(w[flagged & (y == 1)].sum())
            share = hits / float(w[flagged].sum()) if flagged.any() else float("nan")
            at_cuts.append((name, cut, share, hits / float(w[y == 1].sum())))
    return PolicyReport(
        policy_id=policy.policy_id,
        name=policy.name,
        rows=len(s),
        positives=int(y.sum()),
        curve=curve,
        reliability=reliability(s, y, weights=w),
        precision_targets=tuple((t, choose_threshold(s, y, precision=t, weights=w)) for t in PRECISIONS),
        recall_targets=tuple((t, choose_threshold(s, y, recall=t, weights=w)) for t in RECALLS),
        at_cuts=tuple(at_cuts),
        slices=() if policy.review is None else tuple(slice_rates(s >= policy.review, y, policy.columns)),
        suspects=tuple(policy.suspects),
        drift=None if policy.today is None else score_drift(s, policy.today, weights=w),
        notes=tuple(policy.notes),
    )


def write_report(path: str | os.PathLike[str], policies: Sequence[HeldOutPolicy], database: str) -> list[PolicyReport]:
    """Write the report as one self-contained page, and return its figures.

    Args:
        path: path of the page; an existing file is replaced.
        policies: inputs of each policy.
        database: address of the database, for the heading.

    Raises:
        SafetyError: there is no policy, or a policy cannot be measured.
        OSError: the page cannot be written.
    """
    if not policies:
        raise SafetyError("there is no policy to report on: train a head first, or give labels of a policy")
    reports = [measure(policy) for policy in policies]
    sections = [_section(report, policy) for report, policy in zip(reports, policies, strict=True)]
    page = page_template("firstsight.safety.report", "report.html").render(database=database, sections=sections)
    Path(path).write_text(page, encoding="utf-8")
    return reports


def _section(report: PolicyReport, policy: HeldOutPolicy) -> dict[str, Any]:
    marks = [(name, cut) for name, cut, _, _ in report.at_cuts]
    shown = report.slices[:SHOWN_SLICES]
    ends: dict[str, float] = {}
    for rate in shown:
        ends[rate.measure] = max(ends.get(rate.measure, 0.01), rate.upper if rate.trials else 0.0)
    return {
        "report": report,
        "plots": [
            (
                "Precision and recall",
                precision_recall_plot(report.curve, marks),
                f"Average precision {report.curve.average_precision:.3f}; a random order has "
                f"{report.curve.prevalence:.3g}, the dashed line.",
            ),
            (
                "Reliability",
                reliability_plot(report.reliability),
                f"Calibration error {report.reliability.calibration_error:.4f} over bins of equal mass, Brier score "
                f"{report.reliability.brier:.4f}; the dashed line is perfect calibration.",
            ),
            (
                "Scores",
                histogram_plot(score_histogram(policy.scores, policy.labels, weights=policy.weights), marks),
                "Shares within each class; positives in colour.",
            ),
        ],
        "targets": [
            (name, target, threshold)
            for name, targets in (("precision", report.precision_targets), ("recall", report.recall_targets))
            for target, threshold in targets
        ],
        "slices": [(s, interval_bar(s.rate, s.lower, s.upper, s.rest, ends[s.measure])) for s in shown],
        "suspects": report.suspects[:SHOWN_SUSPECTS],
        "drift_plot": None if report.drift is None else drift_plot(report.drift),
    }
