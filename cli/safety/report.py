"""`firstsight safety report`: an HTML page with the figures of the heads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import print_json_lines, print_message, shown, writing
from firstsight.cli.safety.options import Prevalence, SkipBadLabels

if TYPE_CHECKING:
    from firstsight.safety.report.policy_report import PolicyReport


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight safety`."""
    command(
        app,
        panel="Heads",
        examples=[
            "safety report labels.csv --html report.html",
            "safety report labels.csv --html report.html --prevalence 0.01 --slice seller --slice brand",
        ],
    )(report)


def report(
    *,
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS.csv", help="File of labels that the heads were trained on.")
    ],
    prevalence: Prevalence = None,
    skip_bad_labels: SkipBadLabels = False,
    column: Annotated[
        list[str] | None,
        panels.training(
            "--slice",
            metavar="COLUMN",
            help="Column, fact or tag whose values to compare (repeatable), such as colour or quality.problems. "
            "By default language, category, kind and seller, if they exist.",
        ),
    ] = None,
    policies: options.PoliciesFile = None,
    html: Annotated[Path | None, panels.output("--html", metavar="FILE", help="HTML page to write.")] = None,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure heads on held-out labels: curves, calibration, thresholds, slices, label suspects, drift."""
    safety = db.open(encoder).safety.with_policies(policies)
    with writing(html, "--html") if html else nullcontext():
        measured = safety.report(
            labels,
            prevalence=prevalence,
            columns=column,
            skip_bad_labels=skip_bad_labels,
            html=html,
            on_progress=print_message,
        )
    for problem in measured.problems:
        print_message(f"left out: {problem}")
    if html is not None:
        print_message(f"wrote {html}")
    if output.as_json:
        print_json_lines(policy.to_dict() for policy in measured.policies)
    else:
        _print(measured.policies, output)


def _print(reports: Sequence[PolicyReport], output: options.TableFlags) -> None:
    numbers = ["positives", "rows", "prevalence", "AP", "calibration error", "Brier", "odd slices", "label suspects"]
    output.print_table(
        ["policy", *numbers, "drift"],
        [
            (
                *(policy.policy_id, policy.positives, policy.rows, shown(policy.curve.prevalence, ".3g")),
                *(shown(policy.curve.average_precision, ".3f"), shown(policy.reliability.calibration_error, ".4f")),
                *(
                    shown(policy.reliability.brier, ".4f"),
                    sum(rate.differs for rate in policy.slices),
                    len(policy.suspects),
                ),
                "" if policy.drift is None else policy.drift.verdict,
            )
            for policy in reports
        ],
        right=numbers,
    )
