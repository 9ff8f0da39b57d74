"""`firstsight events`: store and count user events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, print_table, wants_json

if TYPE_CHECKING:
    from firstsight.recommend.events.event_reports import AddedEvents

EXAMPLES = ["events add clicks.csv", "events add log.parquet --time-unit ms"]
NOTE = (
    "A file has the columns user_id, item_id, timestamp, and optionally event (click, like, purchase, …) and weight (a "
    "number above 0, by default 1): CSV, TSV, JSON Lines or Parquet. An event that is added twice is stored once."
)

app = group(
    "Store and count user events: who clicked, liked or bought which item, and when.",
    examples=[*EXAMPLES, "events status"],
    note=NOTE,
)


@command(app, examples=EXAMPLES, note=NOTE)
def add(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="File of events: CSV, TSV, JSON Lines or Parquet; or - for JSON Lines on stdin."
        ),
    ],
    time_unit: Annotated[
        str | None,
        panels.events(
            "--time-unit",
            metavar="UNIT",
            help="Unit of the timestamp column: s, ms or us since 1970, or iso for dates. By default detected from the "
            "first 50,000 rows.",
        ),
    ] = None,
    encoding: Annotated[
        str, panels.events("--encoding", metavar="NAME", help="Encoding of a CSV, TSV or JSON Lines file.")
    ] = "utf-8",
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Add the events of a file. Invalid rows are reported and skipped."""
    from firstsight.recommend.events.event_rows import UNIT_WORDS

    added = db.open().add_events(
        source,
        time_unit=time_unit,
        encoding=encoding,
        wait_s=db.wait,
        on_progress=_print_progress,
    )
    reason = "as requested" if time_unit else "detected from the first rows"
    print_message(
        f"timestamps are {UNIT_WORDS[added.time_unit]}, {reason}: {added.first:%Y-%m-%d} to {added.last:%Y-%m-%d}, UTC"
    )
    for refusal in added.refusals:
        print_message(f"refused: {refusal}")
    if added.refused > len(added.refusals):
        print_message(f"refused: {added.refused - len(added.refusals)} more rows")
    if added.unknown:
        print_message(f"{added.unknown} events are on items that are not indexed; they count once the items are")
    if wants_json(json):
        print_json_lines([added.as_dict()])
    else:
        counts = added.as_dict()
        print_table(
            ["rows", "added", "repeated", "refused", "on unknown items"],
            [[counts[name] for name in ("rows", "added", "repeated", "refused", "unknown")]],
            right=["rows", "added", "repeated", "refused", "on unknown items"],
        )


@command(app, examples=["events status --json"])
def status(*, json: options.Json = False, db: options.DatabaseFlags) -> None:
    """Count events, users and items, and the events on items that are not indexed."""
    counts = db.open().events_status()
    if wants_json(json):
        print_json_lines([vars(counts)])
    elif counts.events:
        print_table(["", ""], [(name.replace("_", " "), value) for name, value in vars(counts).items()])
    else:
        print_message("there are no events yet; add some with: firstsight events add FILE")


def _print_progress(so_far: AddedEvents) -> None:
    if so_far.rows >= 100_000:  # smaller files take less than two seconds
        print_message(f"{so_far.rows:,} rows, {so_far.added:,} added")
