"""`firstsight optimize`: the upkeep that index runs do on their own, by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.inspect import search_effort
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.storage.indexes.upkeep import TableState, TableUpkeep

EPILOG = "Examples: firstsight optimize --db shop-db · firstsight optimize --rebuild --json"

_DOING = {
    "compact": "merging files, extending indexes, removing old versions",
    "ids": "indexing the ids",
    "build": "building the vector index",
    "measure": "measuring recall against exact search",
}


def optimize(
    db: options.Db = None,
    json: options.Json = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build the vector indexes anew (tables of 50,000 rows and more).")
    ] = False,
    wait: options.Wait = 0.0,
) -> None:
    """Merge small files, bring the indexes up to date, measure their recall, remove versions over six hours old.

    Index runs do this on their own when it is due; searches go on meanwhile.
    """
    import firstsight

    def say(table: str, step: str) -> None:
        tell(f"{table}: {_DOING[step]}")

    report = firstsight.open(db).optimize(rebuild=rebuild, wait_s=wait, on_step=say)
    if wants_json(json):
        print_json_lines([asdict(report)])
        return
    print_table(
        ["table", "rows", "rows a file", "versions", "MB on disk", "seconds", "search"],
        [_line(upkeep) for upkeep in report.tables],
        right=["rows", "rows a file", "versions", "MB on disk", "seconds"],
    )
    if report.stray_files:
        tell(f"{report.stray_files} temporary files of killed writes removed")


def _line(upkeep: TableUpkeep) -> tuple[str, ...]:
    before, after = upkeep.before, upkeep.after
    size = "" if upkeep.disk_bytes is None else " → ".join(f"{size / 1e6:,.1f}" for size in upkeep.disk_bytes)
    return (
        after.table,
        f"{after.rows:,}",
        f"{_rows_a_file(before)} → {_rows_a_file(after)}",
        " → ".join(map(str, upkeep.versions)),
        size,
        f"{upkeep.seconds:.1f}",
        search_effort(after) if after.table in {"items", "views"} else "",
    )


def _rows_a_file(state: TableState) -> str:
    return f"{state.rows // max(1, state.fragments):,}"
