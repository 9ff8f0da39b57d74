"""`firstsight events`: the log of who had to do with which item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.recommend.event_reports import AddedEvents

EPILOG = """
[bold]Examples[/bold]

firstsight events add clicks.csv

firstsight events add log.parquet --time-unit ms

firstsight events status

A file has the columns user_id, item_id, timestamp, and optionally event (click, like, purchase, …) and weight (a number
above 0; 1 by default): CSV, TSV, JSON Lines or Parquet. Added twice, it is there once.
"""

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True, epilog=EPILOG)

_EXAMPLE_ADD = "Examples: firstsight events add clicks.csv · firstsight events add log.parquet --time-unit ms"


@app.callback()
def events() -> None:
    """Keep who had to do with which item, and when: what recommendation learns from."""


@app.command("add", epilog=_EXAMPLE_ADD)
def add(
    source: Annotated[str, typer.Argument(metavar="FILE", help="CSV, TSV, JSON Lines, Parquet, or - for JSON Lines.")],
    time_unit: Annotated[
        str | None,
        typer.Option(
            "--time-unit",
            metavar="UNIT",
            help="What numbers in the timestamp column are: s, ms or us since 1970; or iso. By default what the first "
            "50,000 rows can only be.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", metavar="NAME", help="Of a text file.")] = "utf-8",
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="For another process that writes.")] = 0.0,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Add the events of a file; a row that cannot be taken is named and left out."""
    import firstsight
    from firstsight.recommend.event_rows import UNIT_WORDS

    how: dict[str, Any] = {"time_unit": time_unit, "encoding": encoding, "wait_s": wait}
    added = firstsight.open(db).add_events(source, on_progress=_tell_rows, **how)
    said = "as asked" if time_unit else "as its first rows say"
    tell(f"timestamps are {UNIT_WORDS[added.time_unit]}, {said}: {added.first:%Y-%m-%d} to {added.last:%Y-%m-%d}, UTC")
    for refusal in added.refusals:
        tell(f"refused: {refusal}")
    if added.refused > len(added.refusals):
        tell(f"refused: {added.refused - len(added.refusals)} more rows")
    if added.unknown:
        tell(f"{added.unknown} events are on items that are not indexed; they count once the items are")
    if wants_json(json):
        print_json_lines([added.as_dict()])
    else:
        counts = added.as_dict()
        print_table(
            ["rows", "added", "repeated", "refused", "on unknown items"],
            [[counts[name] for name in ("rows", "added", "repeated", "refused", "unknown")]],
            right=["rows", "added", "repeated", "refused", "on unknown items"],
        )


@app.command("status", epilog="Example: firstsight events status --json")
def status(db: options.Db = None, json: options.Json = False) -> None:
    """Count events, users and items, and the events on items that are not indexed."""
    import firstsight

    found = firstsight.open(db).events_status()
    if wants_json(json):
        print_json_lines([vars(found)])
    elif found.events:
        print_table(["", ""], [(name.replace("_", " "), value) for name, value in vars(found).items()])
    else:
        tell("there are no events yet; add some with: firstsight events add FILE")


def _tell_rows(so_far: AddedEvents) -> None:
    if so_far.rows >= 100_000:  # a smaller file is done before anyone wonders
        tell(f"{so_far.rows:,} rows, {so_far.added:,} added")
