"""The commands of `firstsight safety` for review decisions and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.exits import ERROR
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json
from firstsight.cli.safety.options import By, Reason, name_or_login

if TYPE_CHECKING:
    from firstsight.api.safety.safety_audit import AuditTrail
    from firstsight.safety.policy.decisions import Action
    from firstsight.safety.review.review_queue import QueueEntry

Item = Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")]
PolicyIds = Annotated[
    list[str] | None,
    panels.policies("--policy", metavar="ID", help="Policy that the decision is based on (repeatable)."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to `firstsight safety`."""
    command(app, panel="Review", examples=["safety queue --reach views -k 20"])(queue)
    command(app, panel="Review", examples=["safety decide sku-123 block --policy weapons --reason 'a real knife'"])(
        decide
    )
    command(app, panel="Review", examples=["safety appeal sku-123 --reason 'it is a bread knife'"])(appeal)
    command(app, panel="Review", examples=["safety overturn sku-123 --reason 'a bread knife' --by ana"])(overturn)
    command(app, panel="Review", examples=["safety labels reviewed.csv"])(labels)
    command(
        app,
        panel="Audit log",
        examples=[
            "safety audit",
            "safety audit --expect 812-5e0c1d9a33b84f10",
            "safety audit --list --item sku-123",
            "safety audit --adopt restored.jsonl --by ana",
        ],
    )(audit)
    command(app, panel="Audit log", examples=["safety replay 812-5e0c1d9a33b84f10"])(replay)


def queue(
    *,
    reach: Annotated[
        str | None,
        panels.ranking(
            "--reach",
            metavar="COLUMN",
            help="Number column of the catalogue that raises the priority, e.g. views or sales.",
        ),
    ] = None,
    k: Annotated[int, panels.output("-k", metavar="N", min=1, help="Maximum items.")] = 20,
    policies: options.PoliciesFile = None,
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List the items to review next: appeals first, then by severity, uncertainty and reach."""
    entries = db.open().safety.with_policies(policies).queue(k=k, reach=reach)
    if output.as_json:
        print_json_lines(entry.to_dict() for entry in entries)
    else:
        _print(entries, output, db)


def decide(
    *,
    item: Item,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Decision: allow, review or block.")],
    policy: PolicyIds = None,
    policies: options.PoliciesFile = None,
    reason: Reason,
    by: By = None,
    db: options.WriterFlags,
) -> None:
    """Decide about an item. This overrides its scores until its media or title change, and gives a training label."""
    safety = db.open().safety.with_policies(policies)
    decision = safety.decide(
        item,
        cast("Action", action),  # `decide` checks it
        policy=policy or (),
        reason=reason,
        by=name_or_login(by),
        wait_s=db.wait,
    )
    print_message(f"{item}: {decision.action} (entry {decision.entry_id})")


def appeal(*, item: Item, reason: Reason, by: By = None, db: options.WriterFlags) -> None:
    """Appeal against the decision about an item. It moves to the head of the queue and keeps its state until then."""
    entry_id = db.open().safety.appeal(item, reason=reason, by=name_or_login(by), wait_s=db.wait)
    print_message(f"{item}: appealed (entry {entry_id})")


def overturn(
    *,
    item: Item,
    to: Annotated[
        str | None,
        panels.policies(
            "--to",
            metavar="ACTION",
            help="New decision: allow, review or block. By default the opposite of the current one.",
        ),
    ] = None,
    policy: PolicyIds = None,
    policies: options.PoliciesFile = None,
    reason: Reason,
    by: By = None,
    db: options.WriterFlags,
) -> None:
    """Reverse the current decision about an item, made by a person or by scores. Its labels change as well."""
    safety = db.open().safety.with_policies(policies)
    decision = safety.overturn(
        item,
        cast("Action | None", to),  # `overturn` checks it
        policy=policy or (),
        reason=reason,
        by=name_or_login(by),
        wait_s=db.wait,
    )
    print_message(f"{item}: {decision.action} (entry {decision.entry_id})")


def labels(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file to write, for firstsight safety train.")],
    db: options.DatabaseFlags,
) -> None:
    """Write review decisions as labels. Items that have changed since are left out."""
    print_message(f"{db.open().safety.write_labels(file):,} labels in {file}")


def audit(
    *,
    expect: Annotated[
        str | None, panels.audit("--expect", metavar="ENTRY", help="Fail if this entry is missing.")
    ] = None,
    list_: Annotated[bool, panels.audit("--list", help="Print the entries without checking them.")] = False,
    item: Annotated[
        str | None, panels.audit("--item", metavar="ID", help="Print only entries about this item, with --list.")
    ] = None,
    adopt: Annotated[
        Path | None,
        panels.audit(
            "--adopt",
            metavar="LOG",
            help="Use this log from now on: a copy, or a new file. Current decisions stay, and the change is logged.",
        ),
    ] = None,
    by: By = None,
    output: options.TableFlags,
    db: options.WriterFlags,
) -> None:
    """Check every entry of the audit log, and that the log has all decisions of the database. Exit code 1 if not."""
    if output.csv and (adopt is not None or not list_):
        raise typer.BadParameter("prints the entries of --list only", param_hint="--csv")
    log = db.open().safety.audit
    if adopt is not None:
        _adopt(log, adopt, name_or_login(by), db.wait, output.json)
        return
    if list_:
        events = log.entries(item)
        if output.as_json:
            print_json_lines(logged.to_dict() for logged in events)
        else:
            output.print_table(["time", "entry", "event"], [(e.time[:19], e.entry_id, e.text) for e in events])
        return
    result = log.check(expect)
    if output.as_json:
        print_json_lines([result.to_dict()])
    else:
        for problem in result.problems:
            print_message(f"{log.path}:{problem.line}: {problem.what}" if problem.line else problem.what)
        last = f"; the last one is {result.head}: keep its id elsewhere, for --expect" if result.head else ""
        print_message(f"{result.entries:,} entries, {len(result.problems):,} problems{last}")
    if not result.ok:
        raise typer.Exit(ERROR)


def _adopt(log: AuditTrail, path: Path, by: str, wait: float, json: bool) -> None:
    adopted = log.adopt(path, by=by, wait_s=wait)
    if wants_json(json):
        print_json_lines([adopted.to_dict()])
    added = ", ".join(f"{count:,} of {kind}" for kind, count in adopted.logged.items() if count) or "none"
    verb = "began" if adopted.new else "adopted"
    print_message(f"{verb} {path} (entry {adopted.entry_id}); entries added for current decisions: {added}")
    if path.resolve() != log.path.resolve():
        print_message(
            f"commands look for the log at {log.path}: move it there with its head file, or export "
            f"{log.path_variable}={path}"
        )


def replay(
    *,
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Id of the log entry of a decision.")],
    json: options.Json = False,
    db: options.DatabaseFlags,
) -> None:
    """Repeat a past decision from its record. Exit code 1 if the result differs."""
    result = db.open().safety.replay(entry)
    if wants_json(json):
        print_json_lines([result.to_dict()])
    else:
        for step in result.steps:
            print_message(step)
        print_message(f"recorded {result.recorded}, replayed {result.replayed}")
    if not result.same:
        raise typer.Exit(ERROR)


def _print(entries: Sequence[QueueEntry], output: options.ItemTableFlags, db: options.DatabaseFlags) -> None:
    numbers = ["score", "severity", "uncertainty", "reach", "priority"]
    output.print_items(
        db,
        ["item", "title", "reason", "policy", *numbers, "note"],
        [
            (
                *(e.item_id, e.title, e.why, e.policy, shown(e.score, ".3f"), e.severity),
                *(shown(e.uncertainty, ".2f"), shown(e.reach, ",.0f"), shown(e.priority, ".2f"), e.note),
            )
            for e in entries
        ],
        right=numbers,
        empty="there are no items to review",
    )
