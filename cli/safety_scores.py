"""`firstsight safety policies`, `train`, `retrain`, `heads`, `score` and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import clock, print_json_lines, print_table, tell, wants_json
from firstsight.config import default_db

if TYPE_CHECKING:
    from firstsight.encoders.base import Encoder
    from firstsight.indexer.store import Store
    from firstsight.safety.heads import Head

PoliciesFile = Annotated[
    Path | None,
    typer.Option(
        "--policies",
        metavar="FILE",
        envvar="FIRSTSIGHT_POLICIES",
        help="A YAML file of policies. By default those that ship with firstsight.",
        show_default=False,
    ),
]
Precision = Annotated[float, typer.Option("--precision", help="Least precision of what is blocked.")]
Recall = Annotated[float, typer.Option("--recall", help="Least recall of what is reviewed or blocked.")]
Confidence = Annotated[float, typer.Option("--confidence", help="Share of the times that a target holds.")]
Prevalence = Annotated[
    float | None,
    typer.Option(
        "--prevalence", help="Share of positives in the catalogue, where the labels have another.", show_default=False
    ),
]
ReviewBudget = Annotated[
    float | None,
    typer.Option(
        "--review-budget", help="Most that a policy sends to review, as a share of the items.", show_default=False
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="NAME", help="Whose cuts decide, such as de.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands about policies, heads and scores."""
    app.command(
        "policies",
        epilog="Examples: firstsight safety policies --policies a.yaml · firstsight safety policies --yaml > a.yaml",
    )(policies)
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


def train(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="Rows of what was labelled.")],
    file: PoliciesFile = None,
    precision: Precision = 0.95,
    recall: Recall = 0.9,
    confidence: Confidence = 0.95,
    prevalence: Prevalence = None,
    review_budget: ReviewBudget = None,
    skip_bad_labels: Annotated[
        bool, typer.Option("--skip-bad-labels", help="Leave out rows that cannot be used.")
    ] = False,
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
    from firstsight.safety.audit import AuditLog
    from firstsight.safety.policies import load_policies
    from firstsight.safety.training import TrainSettings
    from firstsight.safety.training_run import train_from_file

    settings = TrainSettings(precision, recall, confidence, prevalence, review_budget)
    store = _store(db)
    report = train_from_file(
        store,
        labels,
        load_policies(file),
        encoder=_encoder(db, encoder, runtime, device, trust_remote_code),
        settings=settings,
        skip_bad_labels=skip_bad_labels,
        promote=not no_promote,
        record=AuditLog.of(store.uri).append_many,
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
    from firstsight.safety.audit import AuditLog
    from firstsight.safety.policies import load_policies
    from firstsight.safety.training import TrainSettings
    from firstsight.safety.training_run import retrain as retrain_heads

    store = _store(db)
    report = retrain_heads(
        store,
        load_policies(file),
        AuditLog.of(store.uri),
        labels,
        encoder=_encoder(db, encoder, runtime, device, trust_remote_code),
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
    from firstsight.safety.heads import HeadShelf

    store = _store(db)
    shelf = HeadShelf(store)
    if promote or drop:
        with store.writing():
            shelf.promote(promote or [])
            shelf.drop(drop or [])
    _print_heads(shelf.versions(), json)


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

    from firstsight.safety.audit import AuditLog
    from firstsight.safety.policies import load_policies
    from firstsight.safety.scoring import score as score_items
    from firstsight.safety.standing import standing_decisions

    store = _store(db)
    log = AuditLog.of(store.uri)
    in_force = load_policies(file)
    report = score_items(
        store,
        in_force,
        encoder=None if no_zero_shot else _encoder(db, encoder, runtime, device, trust_remote_code),
        region=region,
        standing=standing_decisions(store, log, in_force),
        everything=everything,
        budget=budget,
        record=log.append_many,
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

    store = _store(db)
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
            (s["policy"], f"{s['score']:.3f}", _cut(s["review"]), _cut(s["block"]), s["source"], s["head"])
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


def _store(db: str | None) -> Store:
    from firstsight.indexer.store import Store

    return Store.open(db or default_db())


def _encoder(
    db: str | None, encoder: str | None, runtime: str, device: str | None, trust_remote_code: bool
) -> Callable[[], Encoder]:
    import firstsight

    how = options.encoder_options(runtime, device, trust_remote_code)
    return lambda: firstsight.open(db, encoder=encoder, encoder_options=how).encoder


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
                    _cut(head.figures.get(name))
                    for name in ("average_precision", "average_precision_zero_shot", "brier")
                ),
                *(_cut(head.review), _cut(head.block)),
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


def _cut(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
