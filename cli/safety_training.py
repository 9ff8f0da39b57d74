"""`firstsight safety train`, `retrain` and `heads`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json
from firstsight.cli.safety_options import (
    Confidence,
    PoliciesFile,
    Precision,
    Prevalence,
    Recall,
    ReviewBudget,
    SkipBadLabels,
    cut,
    lazy_encoder,
    open_store,
)

if TYPE_CHECKING:
    from firstsight.safety.policy.policy_heads import Head


def register(app: typer.Typer) -> None:
    """Add the commands that make heads."""
    app.command(
        "train",
        epilog="Examples: firstsight safety train labels.csv · "
        "firstsight safety train labels.csv --precision 0.98 --recall 0.8 --prevalence 0.01\n\n"
        "Labels have the columns policy, label (0 or 1) and one of item_id, view_id, path; perhaps weight, annotator.",
    )(train)
    app.command(
        "retrain",
        epilog="Examples: firstsight safety retrain · firstsight safety retrain labels.csv --prevalence 0.01",
    )(retrain)
    app.command("heads", epilog="Examples: firstsight safety heads · firstsight safety heads --promote 3")(heads)


def train(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="Rows of what was labelled.")],
    file: PoliciesFile = None,
    precision: Precision = 0.95,
    recall: Recall = 0.9,
    confidence: Confidence = 0.95,
    prevalence: Prevalence = None,
    review_budget: ReviewBudget = None,
    skip_bad_labels: SkipBadLabels = False,
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="Keep the heads, and let those before score.")
    ] = False,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Train a head for each policy with labels, measured and calibrated on labels that it did not see."""
    from firstsight.heads.calibrated_fit import TrainSettings
    from firstsight.safety.policy.policies import load_policies
    from firstsight.safety.training.training_run import train_from_file

    settings = TrainSettings(precision, recall, confidence, prevalence, review_budget)
    report = train_from_file(
        open_store(db),
        labels,
        load_policies(file),
        encoder=lazy_encoder(db, encoder, runtime, device, trust_remote_code),
        settings=settings,
        skip_bad_labels=skip_bad_labels,
        promote=not no_promote,
        on_progress=tell,
    )
    for problem in report.problems:
        tell(f"left out: {problem}")
    _print_heads(report.heads, json)


def retrain(
    labels: Annotated[
        Path | None, typer.Argument(metavar="[LABELS.csv]", help="Labels beside decisions.", show_default=False)
    ] = None,
    file: PoliciesFile = None,
    precision: Precision = 0.95,
    recall: Recall = 0.9,
    confidence: Confidence = 0.95,
    prevalence: Prevalence = None,
    review_budget: ReviewBudget = None,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Train challengers from people's decisions; each scores only if it beats the head in use on held-out labels."""
    from firstsight.heads.calibrated_fit import TrainSettings
    from firstsight.safety.audit.audit_log import AuditLog
    from firstsight.safety.policy.policies import load_policies
    from firstsight.safety.training.training_run import retrain as retrain_heads

    store = open_store(db)
    report = retrain_heads(
        store,
        load_policies(file),
        AuditLog.of(store.uri),
        labels,
        encoder=lazy_encoder(db, encoder, runtime, device, trust_remote_code),
        settings=TrainSettings(precision, recall, confidence, prevalence, review_budget),
        on_progress=tell,
    )
    for problem in report.problems:
        tell(f"left out: {problem}")
    _print_heads(report.heads, json)
    for head, verdict in zip(report.heads, report.verdicts, strict=True):
        tell(f"head {head.version}, {head.policy_id}: {verdict}")


def heads(
    promote: Annotated[
        list[int] | None,
        typer.Option("--promote", metavar="VERSION", help="Let it score; may be given again.", show_default=False),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="POLICY", help="Let no head score for it; may be given again.", show_default=False
        ),
    ] = None,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """List the heads with their held-out figures; promote or drop some. Their scores change at the next score."""
    from firstsight.safety.audit.bound_log import BoundLog
    from firstsight.safety.policy.policy_heads import HeadShelf

    store = open_store(db)
    shelf = HeadShelf(store)
    if promote or drop:
        with store.writing():
            BoundLog.open(store)  # a training that was killed is finished first
            shelf.promote(promote or [])
            shelf.drop(drop or [])
    _print_heads(shelf.versions(), json)


def _print_heads(made: Iterable[Head], json: bool) -> None:
    listed = list(made)
    if wants_json(json):
        print_json_lines(head.as_dict() for head in listed)
        return
    numbers = ["version", "positives", "AP", "zero-shot AP", "Brier", "review", "block"]
    print_table(
        ["version", "policy", "kind", "in use", *numbers[1:]],
        [
            (
                *(head.version, head.policy_id, head.kind, "yes" if head.promoted else ""),
                head.figures.get("positives"),
                *(
                    cut(head.figures.get(name))
                    for name in ("average_precision", "average_precision_zero_shot", "brier")
                ),
                *(cut(head.review), cut(head.block)),
            )
            for head in listed
        ],
        right=numbers,
    )
    for head in listed:
        for name in ("review", "block"):
            target: dict[str, Any] = head.figures.get(f"{name}_target", {})
            if target and not target["attainable"]:
                tell(f"head {head.version}, {head.policy_id}: no cut for {name}: {target['reason']}")
