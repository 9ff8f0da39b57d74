"""`firstsight get`, `status` and `failures`: what a database holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import clock, print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.storage.indexes.upkeep import TableState


def get(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="The item's id.")],
    db: options.Db = None,
    json: options.Json = False,
    vectors: Annotated[bool, typer.Option("--vectors", help="Print the vectors, too (with --json).")] = False,
) -> None:
    """Show one item with its views. Example: firstsight get guitar-acoustic --json --vectors"""
    import firstsight

    item = firstsight.open(db).get(item_id)
    if wants_json(json):
        print_json_lines([item if vectors else _without_vectors(item)])
        return
    shown = {name: value for name, value in item.items() if name not in {"vector", "views", "columns"}}
    print_table(["column", "value"], (shown | item["columns"]).items())
    print_table(
        ["view", "second", "of"], [(v["part"], clock(v["time_s"]), v["uri"] or item["title"]) for v in item["views"]]
    )


def status(db: options.Db = None, json: options.Json = False) -> None:
    """Show what a database holds and the runs that made it. Example: firstsight status --db shop-db"""
    import firstsight

    state = firstsight.open(db).status()
    if wants_json(json):
        print_json_lines([asdict(state)])
        return
    print_table(
        ["", state.db],
        [
            ("layout", _layout(state.layout)),
            ("encoder", f"{state.encoder.name} ({state.encoder.dim} dimensions, {state.encoder.fingerprint[:12]})"),
            ("items", f"{state.items:,}"),
            ("views", f"{state.views:,}"),
            ("failed media", f"{state.failures:,}"),
            ("columns", ", ".join(state.columns)),
            *((f"search in {table.table}", search_effort(table)) for table in state.tables),
        ],
    )
    print_table(
        ["run", "started", "outcome", "encoded", "unchanged", "failed", "source"],
        [
            (
                r["run_id"],
                f"{r['started_at']:%Y-%m-%d %H:%M}",
                r["outcome"],
                r["counts"].get("encoded", r["counts"].get("frames")),  # a watch encodes frames, and has no more to say
                r["counts"].get("unchanged", ""),
                r["counts"].get("failed_media", ""),
                r["source"],
            )
            for r in state.runs[-10:]
        ],
        right=["encoded", "unchanged", "failed"],
    )


def failures(db: options.Db = None, json: options.Json = False) -> None:
    """List the media that could not be used, and why. Example: firstsight failures --json | head

    Try them again with: firstsight index --retry
    """
    import firstsight

    rows = firstsight.open(db).failures()
    if wants_json(json):
        print_json_lines(rows)
    elif rows:
        print_table(
            ["item", "medium", "stage", "reason", "tries", "what happened"],
            [(r["item_id"], r["uri"], r["stage"], r["reason"], r["attempts"], r["message"]) for r in rows],
            right=["tries"],
        )
    else:
        tell("no medium has failed")


def search_effort(table: TableState) -> str:
    """How a table is searched, in words."""
    tuning = table.tuning
    if tuning is None:
        return "exact"
    recall = "recall not measured: run firstsight optimize"
    if tuning.recall is not None:
        recall = f"recall@10 {tuning.recall:.3f}" + ("" if tuning.reaches_target else ", below 0.95 at the most effort")
    probes = f"{tuning.nprobes} of {tuning.partitions} partitions, refined x{tuning.refine}"
    return f"index, {recall}; {probes}; {table.unindexed:,} rows not in it"


def _layout(layout: int) -> str:
    from firstsight.storage.tables import CURRENT_LAYOUT

    note = (
        "" if layout == CURRENT_LAYOUT else f" of {CURRENT_LAYOUT}; the next write upgrades it, or firstsight upgrade"
    )
    return f"{layout}{note}"


def _without_vectors(item: dict[str, Any]) -> dict[str, Any]:
    views = [{name: value for name, value in view.items() if name != "vector"} for view in item["views"]]
    return {name: value for name, value in item.items() if name != "vector"} | {"views": views}
