"""`firstsight safety policies`, `score` and `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import clock, print_json_lines, print_table, tell, wants_json
from firstsight.cli.safety_options import PoliciesFile, Region, cut, lazy_encoder, open_store

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    """Add the commands about policies, heads and scores."""
    app.command(
        "policies",
        epilog="Examples: firstsight safety policies --policies a.yaml · firstsight safety policies --yaml > a.yaml",
    )(policies)
    app.command(
        "score",
        epilog="Examples: firstsight safety score · firstsight safety score --policies mine.yaml --region de --all",
    )(score)
    app.command("explain", epilog="Example: firstsight safety explain sneakers-red")(explain)


def policies(
    file: PoliciesFile = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the file itself, to begin your own with.")] = False,
    json: options.Json = False,
) -> None:
    """Check a file of policies and list them, with their version."""
    from firstsight.safety.policies import load_policies

    loaded = load_policies(file)
    if yaml:
        typer.echo(loaded.text, nl=False)
    elif wants_json(json):
        print_json_lines(policy.deciding() | {"name": policy.name, "parent": policy.parent} for policy in loaded.all)
    else:
        print_table(
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
        tell(f"version {loaded.version}")


def score(
    file: PoliciesFile = None,
    region: Region = None,
    everything: Annotated[bool, typer.Option("--all", help="All items, not only what is new or changed.")] = False,
    no_zero_shot: Annotated[
        bool, typer.Option("--no-zero-shot", help="Leave out policies that have prompts and no head.")
    ] = False,
    budget: Annotated[
        float, typer.Option("--review-budget", help="Share of the items that a policy without labels sends to review.")
    ] = 0.01,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Score new and changed items and decide about them; searches leave blocked items out from then on."""
    from dataclasses import asdict

    from firstsight.safety.policies import load_policies
    from firstsight.safety.scoring import score as score_items

    report = score_items(
        open_store(db),
        load_policies(file),
        encoder=None if no_zero_shot else lazy_encoder(db, encoder, runtime, device, trust_remote_code),
        region=region,
        everything=everything,
        budget=budget,
    )
    if wants_json(json):
        print_json_lines([asdict(report)])
        return
    tell(
        f"scored {report.scored} items in {report.seconds:.1f} s: {report.allow} allow, {report.review} review, "
        f"{report.block} block; policies {report.policy_version}"
    )
    if report.zero_shot:
        tell(f"by prompts alone, not calibrated and never blocking: {', '.join(report.zero_shot)}")
    if report.unscored:
        tell(f"not scored, for want of labels and prompts: {', '.join(report.unscored)}")


def explain(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="An item's id.")],
    file: PoliciesFile = None,
    region: Region = None,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Say what was decided about an item, for which view, under which policy, score and cut, and what came before."""
    from firstsight.safety.audit import AuditLog
    from firstsight.safety.explaining import explain as explain_item
    from firstsight.safety.policies import load_policies

    store = open_store(db)
    told = explain_item(store, item_id, load_policies(file), AuditLog.of(store.uri), region=region)
    if wants_json(json):
        print_json_lines([told])
        return
    age = f", from {told['min_age']} years" if told["min_age"] else ""
    scored = f", scored {told['scored_at']} under policies {told['policy_version']}" if told["scored_at"] else ""
    tell(f"{item_id}: {told['decision']}{age}{scored}")
    for one in told["evidence"]:
        tell(f"  {_evidence(one)}")
    print_table(
        ["policy", "score", "review", "block", "scored by", "head"],
        [
            (s["policy"], f"{s['score']:.3f}", cut(s["review"]), cut(s["block"]), s["source"], s["head"])
            for s in told["scores"]
        ],
        right=["score", "review", "block", "head"],
    )
    for event in told["history"]:
        tell(f"{event['time'][:19]} {event['entry_id']}: {event['text']}")


def _evidence(one: dict[str, Any]) -> str:
    if one["source"] == "human":
        return f"{one['policy_id']}: a person decided"
    if one["source"] == "words":
        return f"{one['policy_id']}: {one['note']}"
    where = f"{one['part'] or 'item'} {one['uri'] or ''}".strip()
    second = f" at {clock(one['time_s'])}" if one["time_s"] is not None else ""
    if one["source"] == "hash":
        return f"{one['policy_id']}: {where}{second} is {one['score']:.0f} bits from a known picture"
    return f"{one['policy_id']}: {where}{second} has {one['score']:.3f}, above {one['cut']:.3f} ({one['source']})"
