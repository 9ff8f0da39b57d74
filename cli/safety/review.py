"""The commands of `firstsight safety` by which people decide, and look into the log of what was decided."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from firstsight.cli import options
from firstsight.cli.exits import ERROR
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json
from firstsight.cli.safety_options import PoliciesFile, Wait

if TYPE_CHECKING:
    from firstsight.indexer.store import Store
    from firstsight.safety.audit import AuditLog
    from firstsight.safety.decisions import Action
    from firstsight.safety.review_queue import QueueEntry

Item = Annotated[str, typer.Argument(metavar="ITEM", help="The item's id.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")]
By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it, for the audit log; your login by default.")
]
Under = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="ID", help="What it was judged under; may be given again.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add these commands to `firstsight safety`."""
    app.command("queue", epilog="Example: firstsight safety queue --reach views -k 20")(queue)
    app.command(
        "decide", epilog="Example: firstsight safety decide sku-123 block --policy weapons --reason 'a real knife'"
    )(decide)
    app.command("appeal", epilog="Example: firstsight safety appeal sku-123 --reason 'it is a bread knife'")(appeal)
    app.command("overturn", epilog="Example: firstsight safety overturn sku-123 --reason 'a bread knife' --by ana")(
        overturn
    )
    app.command("labels", epilog="Example: firstsight safety labels reviewed.csv")(labels)
    app.command(
        "audit",
        epilog="Examples: firstsight safety audit · firstsight safety audit --expect 812-5e0c1d9a33b84f10 · "
        "firstsight safety audit --list --item sku-123 · firstsight safety audit --adopt restored.jsonl --by ana",
    )(audit)
    app.command("replay", epilog="Example: firstsight safety replay 812-5e0c1d9a33b84f10")(replay)


def queue(
    reach: Annotated[
        str | None,
        typer.Option("--reach", metavar="COLUMN", help="A number of the catalogue: views, sales.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 20,
    policies: PoliciesFile = None,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """List what to look at next: appeals first, then by severity, uncertainty and reach."""
    from firstsight.safety.override_table import current_reviews
    from firstsight.safety.policies import load_policies
    from firstsight.safety.review_queue import review_queue

    store, log = _open(db)
    entries = review_queue(store, current_reviews(store, log), load_policies(policies), reach=reach, limit=k)
    if wants_json(json):
        print_json_lines(entry.as_dict() for entry in entries)
    elif entries:
        _print(entries)
    else:
        tell("nothing waits for review")


def decide(
    item: Item,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="allow, review or block.")],
    reason: Reason,
    policy: Under = None,
    by: By = None,
    wait: Wait = 0.0,
    policies: PoliciesFile = None,
    db: options.Db = None,
) -> None:
    """Decide about an item. It overrides scores until its media or title change, and becomes a training label."""
    from firstsight.safety import review
    from firstsight.safety.policies import load_policies

    store, log = _open(db)
    made = review.decide(
        store,
        log,
        item,
        cast("Action", action),  # checked there
        policies=load_policies(policies),
        policy_ids=policy or (),
        reason=reason,
        by=_who(by),
        wait_s=wait,
    )
    tell(f"{item}: {made.action} (entry {made.entry_id})")


def appeal(item: Item, reason: Reason, by: By = None, wait: Wait = 0.0, db: options.Db = None) -> None:
    """Object to the decision about an item: it goes to the head of the queue, and stays as it is until then."""
    from firstsight.safety import review

    store, log = _open(db)
    entry_id = review.appeal(store, log, item, reason=reason, by=_who(by), wait_s=wait)
    tell(f"{item}: appealed (entry {entry_id})")


def overturn(
    item: Item,
    reason: Reason,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ACTION", help="The opposite of what stood by default.", show_default=False),
    ] = None,
    policy: Under = None,
    by: By = None,
    wait: Wait = 0.0,
    policies: PoliciesFile = None,
    db: options.Db = None,
) -> None:
    """Reverse the decision that stands about an item, a person's or the scores'; its labels change with it."""
    from firstsight.safety import review
    from firstsight.safety.policies import load_policies

    store, log = _open(db)
    made = review.overturn(
        store,
        log,
        item,
        policies=load_policies(policies),
        reason=reason,
        by=_who(by),
        action=cast("Action | None", to),  # checked there
        policy_ids=policy or (),
        wait_s=wait,
    )
    tell(f"{item}: {made.action} (entry {made.entry_id})")


def labels(
    file: Annotated[Path, typer.Argument(help="A CSV file, which firstsight safety train reads.")],
    db: options.Db = None,
) -> None:
    """Write the labels that decisions gave, of the items that have not changed since."""
    from firstsight.safety.review import review_labels, write_labels

    found = review_labels(*_open(db))
    write_labels(file, found)
    tell(f"{len(found):,} labels in {file}")


def audit(
    list_: Annotated[bool, typer.Option("--list", help="Print the entries and check nothing.")] = False,
    item: Annotated[
        str | None, typer.Option("--item", metavar="ID", help="With --list: only about this.", show_default=False)
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="ENTRY", help="Fail if this entry is missing.", show_default=False),
    ] = None,
    adopt: Annotated[
        Path | None,
        typer.Option(
            "--adopt",
            metavar="LOG",
            help="Use this log from now on, a copy or a new file, and log that; decisions in force stay.",
            show_default=False,
        ),
    ] = None,
    by: By = None,
    wait: Wait = 0.0,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Check every entry of the audit log, and that it knows the database's decisions; exit code 1 where it does not."""
    from firstsight.safety.audit_check import check_log
    from firstsight.safety.history import event

    store, log = _open(db)
    if adopt is not None:
        _adopt(store, adopt, log, _who(by), wait, json)
        return
    if list_:
        events = (event(entry) for entry in log.entries(subject=item))
        if wants_json(json):
            print_json_lines(one.as_dict() for one in events)
        else:
            print_table(["time", "entry", "what"], [(one.time[:19], one.entry_id, one.text) for one in events])
        return
    found = check_log(store, log, expect)
    head = log.head() if found.ok else None
    if wants_json(json):
        problems = [vars(problem) for problem in found.problems]
        told = {"ok": found.ok, "entries": found.entries, "head": head and head.entry_id, "problems": problems}
        print_json_lines([told | {"unsettled": found.unsettled, "torn_bytes": found.torn_bytes}])
    else:
        for problem in found.problems:
            tell(f"{log.path}:{problem.line}: {problem.what}" if problem.line else problem.what)
        where = f"; its last is {head.entry_id}: keep it elsewhere, for --expect" if head else ""
        tell(f"{found.entries:,} entries, {len(found.problems):,} problems{where}")
    if not found.ok:
        raise typer.Exit(ERROR)


def _adopt(store: Store, path: Path, usual: AuditLog, by: str, wait: float, json: bool) -> None:
    from firstsight.safety.adoption import adopt
    from firstsight.safety.audit import LOG_VARIABLE, AuditLog

    log = AuditLog(path)
    made = adopt(store, log, by=by, wait_s=wait)
    if wants_json(json):
        print_json_lines([{"log": str(path), **vars(made)}])
    added = ", ".join(f"{count:,} of {kind}" for kind, count in made.logged.items() if count) or "none"
    done = "began" if made.new else "adopted"
    tell(f"{done} {path} (entry {made.entry_id}); entries added for what is in force: {added}")
    if path.resolve() != usual.path.resolve():
        tell(f"commands look for the log at {usual.path}: move it there with its head, or export {LOG_VARIABLE}={path}")


def replay(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="The id of a decision's entry.")],
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Make a past decision again from its record; exit code 1 where the record does not give it."""
    from firstsight.safety.replay import replay as made_again

    _, log = _open(db)
    answer = made_again(log.get(entry))
    if wants_json(json):
        print_json_lines([answer.as_dict()])
    else:
        for step in answer.steps:
            tell(step)
        tell(f"recorded {answer.recorded}, replayed {answer.replayed}")
    if not answer.same:
        raise typer.Exit(ERROR)


def _print(entries: Sequence[QueueEntry]) -> None:
    numbers = ["score", "severity", "uncertainty", "reach", "priority"]
    print_table(
        ["item", "title", "why", "policy", *numbers, "note"],
        [
            (
                *(e.item_id, e.title, e.why, e.policy, "" if e.score is None else f"{e.score:.3f}", e.severity),
                *(f"{e.uncertainty:.2f}", f"{e.reach:,.0f}", f"{e.priority:.2f}", e.note),
            )
            for e in entries
        ],
        right=numbers,
    )


def _open(db: str | None) -> tuple[Store, AuditLog]:
    from firstsight.config import default_db
    from firstsight.indexer.store import Store
    from firstsight.safety.audit import AuditLog

    store = Store.open(db or default_db())
    return store, AuditLog.of(store.uri)


def _who(by: str | None) -> str:
    return by or getpass.getuser()
