"""`firstsight evaluate slates`: what rankings earn, estimated from the log of slates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import print_json_lines, print_message, print_table, shown
from firstsight.cli.recommend.slate_numbers import read_limits, read_quotas

if TYPE_CHECKING:
    from firstsight.recommend.off_policy.slate_evaluation import SlateEvaluation, SlatePolicyReport
    from firstsight.recommend.slates.rules.slate_settings import SlateOptions

SLATES_EXAMPLES = [
    "evaluate slates",
    "evaluate slates --ranking 3",
    "evaluate slates --diversity 0.3 --json",
    "evaluate slates --floor new=0.1 --by seller --by brand",
    "evaluate slates --experiment home --bucket 0-49 --since 2026-05-01",
]
SLATES_NOTE = (
    "Slates come from recommend --user ID --log, responses from events add: an event of the user on the item within a "
    "day. Exploration (--explore of recommend) is what makes other rankings comparable."
)


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight evaluate`."""
    command(app, examples=SLATES_EXAMPLES, note=SLATES_NOTE)(slates)


def slates(
    *,
    ranking: Annotated[
        int | None,
        panels.slate("--ranking", metavar="VERSION", help="Another fitted ranking, of firstsight ranking list."),
    ] = None,
    explore: Annotated[
        float | None,
        panels.slate("--explore", metavar="SHARE", help="Exploration of another ranking. By default 0."),
    ] = None,
    diversity: Annotated[
        float | None, panels.slate("--diversity", metavar="SHARE", help="Diversity of another ranking, 0 to 1 (MMR).")
    ] = None,
    merge: Annotated[
        str | None, panels.slate("--merge", metavar="RULE", help="Merge rule of another ranking: score or rank.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        panels.slate("--kind", metavar="KIND=N", help="Slots for a kind in another ranking, or share (repeatable)."),
    ] = None,
    cap: Annotated[
        list[str] | None,
        panels.slate("--cap", metavar="GROUP=N", help="Cap of another ranking, as in recommend (repeatable)."),
    ] = None,
    floor: Annotated[
        list[str] | None,
        panels.slate("--floor", metavar="GROUP=N", help="Floor of another ranking, as in recommend (repeatable)."),
    ] = None,
    since: Annotated[
        str | None, panels.evaluation("--since", metavar="TIME", help="First time of the slates, e.g. 2026-05-01.")
    ] = None,
    until: Annotated[
        str | None, panels.evaluation("--until", metavar="TIME", help="Time before which the slates were made.")
    ] = None,
    experiment: Annotated[
        str | None, panels.evaluation("--experiment", metavar="NAME", help="Only slates of this experiment.")
    ] = None,
    bucket: Annotated[
        str | None,
        panels.evaluation("--bucket", metavar="N-N", help="Only users of these A/B buckets, of 0 to 99, e.g. 0-49."),
    ] = None,
    event: Annotated[
        str | None,
        panels.evaluation("--event", metavar="TYPE", help="Count only events of this type, e.g. purchase."),
    ] = None,
    by: Annotated[
        list[str] | None,
        panels.evaluation(
            "--by",
            metavar="COLUMN",
            help="Column, fact or tag to measure exposure by (repeatable). By default seller, language and category.",
        ),
    ] = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Estimate the responses that the ranking of the log earns, and another one, by IPS, SNIPS and doubly robust."""
    given = {"explore": explore, "diversity": diversity, "merge": merge}
    options_given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    options_given |= {"quotas": read_quotas(kind)} if kind else {}
    options_given |= {"caps": read_limits(cap, "--cap")} if cap else {}
    options_given |= {"floors": read_limits(floor, "--floor")} if floor else {}
    other = cast("SlateOptions | None", options_given or None)
    report = db.open().evaluation.slates(
        other,
        ranking=ranking,
        since=_time(since, "--since"),
        until=_time(until, "--until"),
        experiment=experiment,
        buckets=_buckets(bucket),
        columns=by,
        event=event,
        on_progress=print_message,
    )
    if output.as_json:
        print_json_lines(line for policy in report.policies for line in policy.lines())
    elif output.csv:
        output.print_csv_tables(["policy", "estimator"], [_table(policy) for policy in report.policies])
    else:
        _print(report)
    for note in report.notes:
        print_message(note)


def _print(report: SlateEvaluation) -> None:
    for policy in report.policies:
        name, heads, rows = _table(policy)
        print_table([name, *heads], rows, right=heads)
    for by in (exposure.by for exposure in report.policies[0].exposure):
        divisions = [next(one for one in policy.exposure if one.by == by) for policy in report.policies]
        heads = [policy.policy for policy in report.policies]
        rows = [
            (group[0].group, *(f"{one.share:.3f} ({one.low:.3f} to {one.high:.3f})" for one in group))
            for group in zip(*(division.groups for division in divisions), strict=True)
        ]
        print_table([f"share of slots by {by}", *heads], rows, right=heads)
    print_message(f"{report.slates:,} slates of {report.users:,} users, {report.slots:,} slots")


def _table(policy: SlatePolicyReport) -> options.NamedTable:
    heads = ["per slate", "error", "low", "high", "effective", "slates"]
    rows = [
        (
            one.estimator,
            *(shown(None if value != value else value, ".4f") for value in _figures(one)),
            shown(one.effective_sample_size, ",.0f"),
            one.n,
        )
        for one in policy.estimates
    ]
    return {"log": "log", "ranking": "its ranking", "other": "other ranking"}[policy.policy], heads, rows


def _figures(one: Any) -> tuple[float, float, float, float]:
    return one.value, one.standard_error, one.low, one.high


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time such as 2026-05-01T12:00:00Z", param_hint=option) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _buckets(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise typer.BadParameter(f"{text!r} is no range of buckets such as 0-49", param_hint="--bucket")
    return int(first), int(last or first)
