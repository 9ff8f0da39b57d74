"""`firstsight safety policies`, `score` and `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import clock, print_json_lines, print_message, shown, wants_json
from firstsight.cli.safety.options import Region, figure

if TYPE_CHECKING:
    from firstsight.safety.policy.decisions import Evidence


def register(app: typer.Typer) -> None:
    """Add these commands to `firstsight safety`."""
    command(
        app,
        panel="Policies and scores",
        examples=["safety policies --policies mine.yaml", "safety policies --yaml > mine.yaml"],
    )(policies)
    command(
        app,
        panel="Policies and scores",
        examples=["safety score", "safety score --policies mine.yaml --region de --all"],
    )(score)
    command(app, panel="Policies and scores", examples=["safety explain sneakers-red"])(explain)


def policies(
    *,
    file: options.PoliciesFile = None,
    yaml: Annotated[bool, panels.output("--yaml", help="Print the YAML file, to start your own from.")] = False,
    output: options.TableFlags,
) -> None:
    """Check a file of policies and list them, with their version."""
    loaded = options.DatabaseFlags().open().safety.with_policies(file).policies
    if yaml:
        typer.echo(loaded.text, nl=False)
    elif output.as_json:
        print_json_lines(policy.to_dict() for policy in loaded.all)
    else:
        output.print_table(
            ["policy", "name", "severity", "parts", "age", "review", "block", ""],
            [
                (
                    *(policy.id, policy.name, policy.severity, " ".join(sorted(policy.parts)), policy.min_age),
                    *policy.cuts_in(),
                    "retired" if policy.retired else "",
                )
                for policy in loaded.all
            ],
            right=["severity", "age", "review", "block"],
        )
        print_message(f"version {loaded.version}")


def score(
    *,
    everything: Annotated[bool, panels.run("--all", help="Score all items, not only new and changed ones.")] = False,
    no_zero_shot: Annotated[
        bool, panels.run("--no-zero-shot", help="Skip policies that have prompts but no head.")
    ] = False,
    budget: Annotated[
        float,
        panels.run(
            "--review-budget",
            metavar="SHARE",
            help="Share of all items that a policy without labels sends to review, 0 to 1.",
        ),
    ] = 0.01,
    file: options.PoliciesFile = None,
    region: Region = None,
    json: options.Json = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Score new and changed items, and allow, review or block them. Searches then exclude blocked items."""
    safety = db.open(encoder).safety.with_policies(file)
    report = safety.score(region=region, everything=everything, budget=budget, zero_shot=not no_zero_shot)
    if wants_json(json):
        print_json_lines([report.to_dict()])
        return
    print_message(
        f"scored {report.scored} items in {report.seconds:.1f} s: {report.allow} allow, {report.review} review, "
        f"{report.block} block; policies {report.policy_version}"
    )
    if report.zero_shot:
        print_message(f"scored by prompts only (not calibrated, never blocks): {', '.join(report.zero_shot)}")
    if report.unscored:
        print_message(f"not scored, because they have neither labels nor prompts: {', '.join(report.unscored)}")


def explain(
    *,
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    file: options.PoliciesFile = None,
    region: Region = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Explain the decision about an item: the view, policy, score and threshold behind it, and its history."""
    explanation = db.open().safety.with_policies(file).explain(item_id, region)
    if output.as_json:
        print_json_lines([explanation.to_dict()])
        return
    age = f", from {explanation.min_age} years" if explanation.min_age else ""
    at, version = explanation.scored_at, explanation.policy_version
    scored = f", scored {at.isoformat()} under policies {version}" if at else ""
    print_message(f"{item_id}: {explanation.decision}{age}{scored}")
    for evidence in explanation.evidence:
        print_message(f"  {_describe(evidence)}")
    output.print_table(
        ["policy", "score", "review", "block", "scored by", "head"],
        [
            (s.policy, shown(s.score, ".3f"), figure(s.review), figure(s.block), s.source, s.head)
            for s in explanation.scores
        ],
        right=["score", "review", "block", "head"],
    )
    for event in explanation.history:
        print_message(f"{event.time[:19]} {event.entry_id}: {event.text}")


def _describe(evidence: Evidence) -> str:
    policy = evidence.policy_id
    if evidence.source == "human":
        return f"{policy}: decided by a person"
    if evidence.source == "words":
        return f"{policy}: {evidence.note}"
    where = f"{evidence.part or 'item'} {evidence.uri or ''}".strip()
    second = f" at {clock(evidence.time_s)}" if evidence.time_s is not None else ""
    if evidence.source == "hash":
        return f"{policy}: {where}{second} differs by {evidence.score:.0f} bits from a known picture"
    label = f" for {evidence.note}" if evidence.source == "detector" else ""
    return (
        f"{policy}: {where}{second} has score {evidence.score:.3f}{label}, above {evidence.cut:.3f} ({evidence.source})"
    )
