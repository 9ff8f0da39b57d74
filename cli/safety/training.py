"""`firstsight safety train`, `retrain` and `heads`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import print_json_lines, print_message
from firstsight.cli.safety.options import SkipBadLabels, TrainFlags, figure

if TYPE_CHECKING:
    from firstsight.api.safety.safety import Safety
    from firstsight.safety.policy.policy_heads import Head
    from firstsight.safety.training.training_run import TrainReport


def register(app: typer.Typer) -> None:
    """Add these commands to `firstsight safety`."""
    command(
        app,
        panel="Heads",
        examples=[
            "safety train labels.csv",
            "safety train labels.csv --precision 0.98 --recall 0.8 --prevalence 0.01",
            "safety train labels.csv --method coop",
        ],
        note="Labels have the columns policy, label (0 or 1) and one of item_id, view_id, path; optionally weight and "
        "annotator.",
    )(train)
    command(app, panel="Heads", examples=["safety retrain", "safety retrain labels.csv --prevalence 0.01"])(retrain)
    command(app, panel="Heads", examples=["safety heads", "safety heads --promote 3"])(heads)


def train(
    *,
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="File of labels.")],
    targets: TrainFlags,
    skip_bad_labels: SkipBadLabels = False,
    no_promote: Annotated[
        bool, panels.training("--no-promote", help="Store the new heads, but keep the current ones in use.")
    ] = False,
    detectors: Annotated[
        bool,
        panels.training(
            "--detectors",
            help="Train no heads; choose on the labels the scores above which the policies' detectors block, with "
            "--precision.",
        ),
    ] = False,
    force: Annotated[
        bool, panels.training("--force", help="Put the new heads into use even if they are worse than what is in use.")
    ] = False,
    file: options.PoliciesFile = None,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Train a head for each policy with labels. Held-out labels measure and calibrate it.

    A new head is used only if it is not worse than the prompts, or better than the head in use.
    """
    if detectors:
        _calibrate_detectors(db.open(encoder).safety.with_policies(file), labels, targets.precision, output)
        return
    report = (
        db.open(encoder)
        .safety.with_policies(file)
        .train(
            labels,
            settings=targets.settings(),
            skip_bad_labels=skip_bad_labels,
            promote=not no_promote,
            force=force,
            on_progress=print_message,
        )
    )
    _print_report(report, output)


def _calibrate_detectors(safety: Safety, labels: Path, precision: float, output: options.TableFlags) -> None:
    cuts, problems = safety.heads.calibrate_detectors(labels, precision=precision)
    for problem in problems:
        print_message(f"left out: {problem}")
    if output.as_json:
        print_json_lines([cut.to_dict() for cut in cuts])
        return
    output.print_table(
        ["policy", "detector", "label", "block from", "positives", "negatives", "why"],
        [(c.policy, c.detector, c.label, c.block, c.positives, c.negatives, c.reason) for c in cuts],
        ["block from", "positives", "negatives"],
    )


def retrain(
    *,
    labels: Annotated[Path | None, typer.Argument(metavar="LABELS.csv", help="File of labels to use as well.")] = None,
    targets: TrainFlags,
    file: options.PoliciesFile = None,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Train heads from review decisions. A new head is used only if it beats the current one on held-out labels."""
    safety = db.open(encoder).safety.with_policies(file)
    report = safety.retrain(labels, settings=targets.settings(), on_progress=print_message)
    _print_report(report, output)


def heads(
    *,
    promote: Annotated[
        list[int] | None,
        panels.training("--promote", metavar="VERSION", help="Put this head version into use (repeatable)."),
    ] = None,
    drop: Annotated[
        list[str] | None, panels.training("--drop", metavar="POLICY", help="Use no head for this policy (repeatable).")
    ] = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List all heads with their held-out figures, and choose which are in use.

    Decisions change at the next firstsight safety score.
    """
    trained = db.open().safety.heads
    if promote:
        trained.promote(promote)
    if drop:
        trained.drop(drop)
    _print_heads(trained.versions(), output)


def _print_report(report: TrainReport, output: options.TableFlags) -> None:
    for problem in report.problems:
        print_message(f"left out: {problem}")
    _print_heads(report.heads, output)
    for head, verdict in zip(report.heads, report.verdicts, strict=True):
        print_message(f"head {head.version}, {head.policy_id}: method {head.figures['method_reason']}")
        print_message(f"head {head.version}, {head.policy_id}: {verdict}")
        if not head.promoted:
            print_message(f"to use it all the same: firstsight safety heads --promote {head.version}")


def _print_heads(versions: Iterable[Head], output: options.TableFlags) -> None:
    listed = list(versions)
    if output.as_json:
        print_json_lines(head.to_dict() for head in listed)
        return
    numbers = ["version", "positives", "AP", "zero-shot AP", "Brier", "review", "block"]
    output.print_table(
        ["version", "policy", "kind", "in use", *numbers[1:]],
        [
            (
                *(head.version, head.policy_id, head.kind, "yes" if head.promoted else ""),
                head.figures.get("positives"),
                *(
                    figure(head.figures.get(name))
                    for name in ("average_precision", "average_precision_zero_shot", "brier")
                ),
                *(figure(head.review), figure(head.block)),
            )
            for head in listed
        ],
        right=numbers,
    )
    for head in listed:
        for name in ("review", "block"):
            target: dict[str, Any] = head.figures.get(f"{name}_target", {})
            if target and not target["attainable"]:
                print_message(f"head {head.version}, {head.policy_id}: no {name} threshold: {target['reason']}")
