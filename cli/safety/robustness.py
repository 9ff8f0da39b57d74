"""`firstsight safety robustness`: heads under corrupted pictures and evasions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import Cell, print_json_lines, print_message, shown
from firstsight.cli.progress import RowProgress
from firstsight.cli.safety.options import SkipBadLabels

if TYPE_CHECKING:
    from firstsight import HeadRobustness

SHOWN_UNREADABLE = 3


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight safety`."""
    command(
        app,
        panel="Heads",
        examples=[
            "safety robustness labels.csv",
            "safety robustness labels.csv --corruption mirror --corruption collage --corruption video-frame --json",
        ],
        note="Evasions: mirror, border, text, crop, jpeg, collage, video-frame (one second of a video). The other "
        "corruptions are those of firstsight evaluate robustness. PDQ: known-picture matching of the same pictures.",
    )(robustness)


def robustness(
    *,
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="File of labels, as for safety train.")],
    corruption: Annotated[
        list[str] | None,
        panels.evaluation(
            "--corruption", metavar="NAME", help="Corruption or evasion to measure (repeatable). By default all."
        ),
    ] = None,
    strengths: Annotated[
        str, panels.evaluation("--strengths", metavar="N,…", help="Strengths to measure, 1 to 5.")
    ] = "1,2,3,4,5",
    sample: Annotated[
        int, panels.evaluation("--sample", metavar="N", help="Maximum labelled units of each policy and class.")
    ] = 100,
    seed: Annotated[int, panels.evaluation("--seed", metavar="N", help="Random seed of the sample and changes.")] = 0,
    skip_bad_labels: SkipBadLabels = False,
    allow_private: options.AllowPrivate = False,
    file: options.PoliciesFile = None,
    quiet: options.Quiet = False,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure the recall of heads at their thresholds when labelled pictures are corrupted, or changed to evade them.

    Nothing is written, so you can stop it at any time.
    """
    heads = db.open(encoder, allow_private=allow_private).safety.with_policies(file).heads
    with RowProgress("encoding pictures", quiet) as progress:
        report = heads.robustness(
            labels,
            corruptions=corruption or None,
            strengths=options.read_strengths(strengths),
            sample=sample,
            seed=seed,
            skip_bad_labels=skip_bad_labels,
            on_progress=(lambda line: None) if quiet else print_message,
            on_encoded=progress.show,
        )
    for problem in report.problems:
        print_message(f"left out: {problem}")
    if report.unreadable:
        print_message(f"{len(report.unreadable)} pictures could not be opened, such as:")
        for line in report.unreadable[:SHOWN_UNREADABLE]:
            print_message(f"  {line}")
    if output.as_json:
        print_json_lines(one.to_dict() for one in report)
    else:
        numbers = ["strength", "recall", "kept", "blocked", "false positives", "PDQ"]
        rows = [
            (
                *(one.policy, one.change, one.strength or ""),
                _interval(one.recall, one.low, one.high),
                *(_share(one.kept), _share(one.block_recall)),
                _interval(one.false_positive_rate, one.false_positive_low, one.false_positive_high),
                _share(one.hash_recall),
            )
            for one in report
        ]
        output.print_table(["policy", "change", *numbers], rows, right=numbers)
        for one in report:
            if not one.strength:
                print_message(_describe(one))
    for note in report.notes:
        print_message(note)


def _describe(one: HeadRobustness) -> str:
    seen = "that the head has not seen" if one.unseen else "of which the head has seen some"
    return f"policy {one.policy}, head {one.version}: {one.positives} positives, {one.negatives} negatives, {seen}"


def _share(value: float) -> Cell:
    return shown(None if value != value else value, ".3f")


def _interval(value: float, low: float, high: float) -> Cell:
    return Cell(value, f"{value:.3f} ({low:.3f} to {high:.3f})") if value == value else shown(None, ".3f")
