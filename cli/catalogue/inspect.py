"""`firstsight get`, `status` and `failures`: show the contents of a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options, panels
from firstsight.cli.catalogue.fact_cells import fact_cells
from firstsight.cli.commands import command, group
from firstsight.cli.output import clock, plain_text, print_json_lines, print_table, shown

if TYPE_CHECKING:
    from firstsight import Status
    from firstsight.storage.indexes.upkeep import TableState


get_app = group()
status_app = group()
failures_app = group()


@command(
    get_app,
    examples=[
        "get guitar-acoustic",
        "get guitar-acoustic --json --vectors",
        "get guitar-acoustic --columns title,price",
    ],
)
def get(
    *,
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    vectors: Annotated[bool, panels.output("--vectors", help="Include the vectors, with --json.")] = False,
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Show one item with its facts and views.

    Facts that are on, but of which the item has no value, are shown as "don't know".
    """
    database = db.open()
    item = database.get(item_id)
    if output.as_json:
        print_json_lines([item.to_dict(vectors=vectors)])
        return
    values = {name: value for name, value in item.to_row().items() if name not in _OTHER_FIELDS}
    facts = item.facts if output.csv else fact_cells(database.facts.explain(item_id))
    own = {*values, *item.columns}
    values |= {name if name not in own else f"facts.{name}": value for name, value in facts.items()}
    values |= dict(item.columns)
    chosen = output.choose(values)
    if output.csv:
        output.print_table(chosen, [[values[name] for name in chosen]])
        return
    print_table(["column", "value"], [(name, plain_text(values[name])) for name in chosen])
    if output.columns:
        return
    print_table(
        ["view", "second", "of"],
        [(view.part, clock(view.time_s), view.text or view.uri or item.title) for view in item.views],
    )


_OTHER_FIELDS = frozenset({"vector", "views", "columns", "facts"})
"""Fields of an item that are no single value."""


@command(status_app, examples=["status", "status --db shop-db --json", "status --csv > columns.csv"])
def status(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """Show the contents of a database, how it is searched, and its last runs.

    With --csv only its columns, with their types and the number of items without a value.
    """
    state = db.open().status()
    if output.as_json:
        print_json_lines([state.to_dict()])
        return
    if output.csv:
        _print_columns(state, output)
        return
    print_table(
        ["", state.db],
        [
            ("layout", _layout(state.layout)),
            ("encoder", f"{state.encoder.name} ({state.encoder.dim} dimensions, {state.encoder.fingerprint[:12]})"),
            ("vectors", state.vectors + _reduction(state.reduction)),
            ("items", f"{state.items:,}"),
            ("views", f"{state.views:,}"),
            ("failed media", f"{state.failures:,}"),
            ("facts", f"{', '.join(state.facts) or 'none'} (firstsight facts status counts them)"),
            *(
                [("videos without fingerprints", f"{state.videos_without_prints:,}: index their catalogue again")]
                if state.videos_without_prints
                else []
            ),
            *((f"search in {table.table}", search_effort(table)) for table in state.tables),
        ],
    )
    _print_columns(state, output)
    print_table(
        ["run", "started", "outcome", "encoded", "unchanged", "failed", "source"],
        [
            (
                run.run_id,
                f"{run.started_at:%Y-%m-%d %H:%M}",
                run.outcome,
                run.counts.get("encoded", run.counts.get("frames")),  # a watch run counts frames only
                run.counts.get("unchanged", ""),
                run.counts.get("failed_media", ""),
                run.source,
            )
            for run in state.runs[-10:]
        ],
        right=["encoded", "unchanged", "failed"],
    )


@command(failures_app, examples=["failures", "failures --json | head", "failures --columns item,title,message"])
def failures(*, output: options.ItemTableFlags, db: options.DatabaseFlags) -> None:
    """List media that could not be used, with the reason.

    Retry them with firstsight index --retry.
    """
    rows = db.open().indexing.failures()
    if output.as_json:
        print_json_lines(row.to_dict() for row in rows)
    else:
        output.print_items(
            db,
            ["item", "medium", "stage", "reason", "attempts", "message"],
            [(r.item_id, r.uri, r.stage, r.reason, r.attempts, r.message) for r in rows],
            right=["attempts"],
            empty="no media have failed",
        )


def _print_columns(state: Status, output: options.TableFlags) -> None:
    output.print_table(
        ["column", "type", "empty"],
        [(column.name, column.type, shown(column.empty, ",")) for column in state.columns],
        right=["empty"],
    )


def search_effort(table: TableState) -> str:
    """Describe how a table is searched: exactly or by an index, with its recall."""
    tuning = table.tuning
    if tuning is None:
        return "exact"
    recall = "recall not measured: run firstsight optimize"
    if tuning.recall is not None:
        recall = f"recall@10 {tuning.recall:.3f}" + ("" if tuning.reaches_target else ", below 0.95 at maximum effort")
    probes = f"{tuning.nprobes} of {tuning.partitions} partitions, refined x{tuning.refine}"
    return f"index, {recall}; {probes}; {table.unindexed:,} rows not indexed"


def _layout(layout: int) -> str:
    from firstsight.storage.tables import CURRENT_LAYOUT

    note = "" if layout == CURRENT_LAYOUT else f" of {CURRENT_LAYOUT}; firstsight upgrade or the next write upgrades it"
    return f"{layout}{note}"


def _reduction(reduction: Mapping[str, Any] | None) -> str:
    """Method and recall of reduced vectors; "" for whole ones."""
    if reduction is None:
        return ""
    return (
        f", {reduction['dimensions']} of {reduction['of_dimensions']} dimensions by {reduction['method']}, "
        f"recall@10 {reduction['recall']:.3f}"
    )
