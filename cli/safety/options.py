"""Options and helpers that the commands of `firstsight safety` share."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from firstsight.cli import panels

if TYPE_CHECKING:
    from firstsight.heads.calibrated_fit import TrainSettings

Prevalence = Annotated[
    float | None,
    panels.training(
        "--prevalence",
        metavar="SHARE",
        help="Share of positives in the catalogue, 0 to 1, if the labels have another share.",
    ),
]
SkipBadLabels = Annotated[bool, panels.training("--skip-bad-labels", help="Skip invalid rows of labels.")]
Region = Annotated[
    str | None, panels.policies("--region", metavar="NAME", help="Region whose thresholds apply, e.g. de.")
]
By = Annotated[
    str | None, panels.audit("--by", metavar="NAME", help="Name for the audit log. By default your login name.")
]
Reason = Annotated[str, panels.audit("--reason", metavar="TEXT", help="Reason, for the audit log.")]


@dataclass(frozen=True)
class TrainFlags:
    """Targets of heads."""

    precision: Annotated[
        float, panels.training("--precision", metavar="SHARE", help="Minimum precision of blocked items, 0 to 1.")
    ] = 0.95
    recall: Annotated[
        float,
        panels.training("--recall", metavar="SHARE", help="Minimum recall of reviewed and blocked items, 0 to 1."),
    ] = 0.9
    confidence: Annotated[
        float, panels.training("--confidence", metavar="SHARE", help="Confidence level of the targets, 0 to 1.")
    ] = 0.95
    prevalence: Prevalence = None
    review_budget: Annotated[
        float | None,
        panels.training(
            "--review-budget",
            metavar="SHARE",
            help="Maximum share of all items that one policy sends to review, 0 to 1. By default no limit.",
        ),
    ] = None

    augment: Annotated[
        bool,
        panels.training(
            "--augment",
            help="Train also on changed copies of labelled pictures (mirror, border, text, crop, jpeg, collage), if "
            "held-out pictures gain.",
        ),
    ] = False

    method: Annotated[
        str,
        panels.training(
            "--method",
            metavar="METHOD",
            help="Method: auto (linear, prompt-offset or tip-adapter, by cross-validation), one of these, or coop "
            "(learned prompts; seconds to minutes a head).",
        ),
    ] = "auto"

    def settings(self) -> TrainSettings:
        """Settings of a training run.

        Raises:
            SafetyError: a value out of range, or an unknown method.
        """
        from firstsight.heads.calibrated_fit import TrainSettings

        targets = (self.precision, self.recall, self.confidence, self.prevalence, self.review_budget)
        return TrainSettings(*targets, augment=self.augment, method=self.method)


def name_or_login(by: str | None) -> str:
    """The name given with --by, else the login name."""
    return by or getpass.getuser()


def figure(value: float | None) -> str:
    """Format a threshold or figure for a table; empty for None."""
    return "" if value is None else f"{value:.3f}"
