"""`firstsight events`: store and count user events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, print_table, wants_json
from firstsight.cli.recommend.event_tables import print_columns, print_events

if TYPE_CHECKING:
    from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview

EXAMPLES = [
    "events add clicks.csv",
    "events add orders_export.csv --dry-run",
    "events add log.parquet --map user_id=shopper,item_id=article --time-unit ms",
    "events add interactions.csv --order position",
    "events add searches.csv --map query=words",
]
NOTE = (
    "A file is CSV, TSV, XLSX, JSON, JSON Lines, Parquet or Arrow: a log with a user, an item and a time in each row, "
    "a GA4 export, or orders of Shopify or WooCommerce. Optional are event (click, like, purchase, …), weight (a "
    "number above 0, by default 1) and query (the text of a search): a row with a query and no item is a search, one "
    "with both a click on a result. An event that is added twice is stored once."
)

app = group(
    "Store and count user events: who clicked, liked or bought which item or searched, and when.",
    examples=[*EXAMPLES, "events status"],
    note=NOTE,
)


@command(app, examples=EXAMPLES, note=NOTE)
def add(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="File of events: CSV, TSV, XLSX, JSON, JSON Lines, Parquet or Arrow; or - for such a file on stdin.",
        ),
    ],
    mapping: Annotated[
        list[str] | None,
        panels.events(
            "--map",
            metavar="OURS=THEIRS,…",
            help="Name columns (repeatable): user_id=customer,item_id=sku. OURS is one of user_id, item_id, timestamp, "
            "event, weight, query. Quote names with commas: 'item_id=\"sku, long\"'. Other columns are recognised.",
        ),
    ] = None,
    order: Annotated[
        str | None,
        panels.events(
            "--order",
            metavar="COLUMN",
            help="For a log without times: column of positions (0 is the oldest), or rows for the order of the rows of "
            "each user.",
        ),
    ] = None,
    time_unit: Annotated[
        str | None,
        panels.events(
            "--time-unit",
            metavar="UNIT",
            help="Unit of the timestamp column: s, ms or us since 1970, iso for dates, or dmy or mdy for dates such as "
            "05/01/2026. By default detected from the first 50,000 rows.",
        ),
    ] = None,
    encoding: Annotated[
        str, panels.events("--encoding", metavar="NAME", help="Encoding of a CSV, TSV or JSON Lines file.")
    ] = "utf-8",
    hash_users: Annotated[
        bool, panels.events("--hash-users", help="Store hashes instead of user ids, such as e-mail addresses.")
    ] = False,
    dry_run: Annotated[
        bool, panels.events("--dry-run", help="Show the columns and the first three events, and write nothing.")
    ] = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Add the events of a file. Invalid rows are reported and skipped.

    The run starts with a table of the columns that it uses.
    """
    from firstsight.errors import CatalogError
    from firstsight.recommend.events.event_columns import parse_event_mapping

    try:
        columns = parse_event_mapping(*(mapping or ()))
    except CatalogError as error:
        raise typer.BadParameter(str(error), param_hint="--map") from None
    database = db.open()
    if dry_run:
        preview = database.events.preview(
            source, mapping=columns, order=order, time_unit=time_unit, hash_users=hash_users, encoding=encoding
        )
        if not quiet:
            print_columns(source, preview.format, preview.columns)
            _print_times(preview.time_unit, time_unit)
            print_events(preview.events)
        _print_refusals(preview.refusals, len(preview.refusals))
        if wants_json(json):
            print_json_lines([preview.to_dict()])
        return

    def show_columns(preview: EventsPreview) -> None:
        print_columns(source, preview.format, preview.columns)
        _print_times(preview.time_unit, time_unit)

    added = database.events.add(
        source,
        mapping=columns,
        order=order,
        time_unit=time_unit,
        hash_users=hash_users,
        encoding=encoding,
        wait_s=db.wait,
        on_columns=(lambda preview: None) if quiet else show_columns,
        on_progress=(lambda so_far: None) if quiet else _print_progress,
    )
    _print_refusals(added.refusals, added.refused)
    if not quiet:
        _print_counts(added)
    if wants_json(json):
        print_json_lines([added.to_dict()])
    elif not quiet:
        counts = added.to_dict()
        print_table(
            ["rows", "added", "repeated", "refused", "on unknown items"],
            [[counts[name] for name in ("rows", "added", "repeated", "refused", "unknown")]],
            right=["rows", "added", "repeated", "refused", "on unknown items"],
        )


@command(app, examples=["events status --json"])
def status(*, json: options.Json = False, db: options.DatabaseFlags) -> None:
    """Count events, searches, users and items, and the events on items that are not indexed."""
    counts = db.open().events.status()
    if wants_json(json):
        print_json_lines([counts.to_dict()])
    elif counts.events:
        print_table(["", ""], [(name.replace("_", " "), value) for name, value in counts.to_row().items()])
    else:
        print_message("there are no events yet; add some with: firstsight events add FILE")


@command(
    app,
    examples=["events weights", "events weights purchase=3 view=0.2", "events weights --reset"],
    note="Types: other, view, click, watch, like, share, follow, comment, cart, purchase, gift, search click. Names of "
    "other systems count as these (add_to_cart, page_view, …). Fit models again after a change.",
)
def weights(
    *,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="TYPE=WEIGHT…", help="Weights to set, above 0 and up to 100; other types keep theirs."),
    ] = None,
    reset: Annotated[bool, panels.events("--reset", help="Set all types to their default weights first.")] = False,
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Show or set what an event of each type says about a user's taste, compared with a click."""
    changed = {}
    for pair in pairs or ():
        name, _, text = pair.rpartition("=")
        try:
            changed[name.strip()] = float(text)
        except ValueError:
            raise typer.BadParameter(f"{pair!r} is not of the form TYPE=WEIGHT", param_hint="TYPE=WEIGHT") from None
    events = db.open().events
    if changed or reset:
        known = {} if reset else events.type_weights()
        current = events.set_type_weights(known | changed, wait_s=db.wait)
    else:
        current = events.type_weights()
    if wants_json(json):
        print_json_lines([current])
    else:
        print_table(["type", "weight"], [(name, f"{weight:g}") for name, weight in current.items()], right=["weight"])


def _print_times(unit: str, given: str | None) -> None:
    from firstsight.recommend.events.event_times import UNIT_WORDS

    if unit == "order":
        print_message(f"there are no times: {UNIT_WORDS[unit]}; recency has no meaning for these events")
    else:
        reason = "as requested" if given else "detected from the first rows"
        print_message(f"timestamps are {UNIT_WORDS[unit]}, {reason}; without a zone they are UTC")


def _print_refusals(refusals: Sequence[str], refused: int) -> None:
    for refusal in refusals:
        print_message(f"refused: {refusal}")
    if refused > len(refusals):
        print_message(f"refused: {refused - len(refusals)} more rows")


def _print_counts(added: AddedEvents) -> None:
    if added.time_unit != "order" and added.first and added.last:
        print_message(f"events from {added.first:%Y-%m-%d} to {added.last:%Y-%m-%d}, UTC")
    for reason, count in added.left_out.items():
        print_message(f"left out: {count:,} {reason}")
    if added.searches:
        print_message(f"{added.searches:,} rows have the text of a search")
    if added.mapped:
        print_message(f"{added.mapped:,} events are on merged variants; they count for the items of the variants")
    if added.unknown:
        print_message(f"{added.unknown} events are on items that are not indexed; they count once the items are")


def _print_progress(so_far: AddedEvents) -> None:
    if so_far.rows >= 100_000:  # smaller files take less than two seconds
        print_message(f"{so_far.rows:,} rows, {so_far.added:,} added")
