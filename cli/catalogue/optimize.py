"""`firstsight optimize`: run the maintenance of a database now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from firstsight.cli import options, panels
from firstsight.cli.catalogue.inspect import search_effort
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown

if TYPE_CHECKING:
    from firstsight.storage.indexes.upkeep import TableState, TableUpkeep

EXAMPLES = ["optimize --db shop-db", "optimize --rebuild --json"]

_STEP_TEXTS = {
    "compact": "merging files, extending indexes, removing old versions",
    "ids": "indexing the ids",
    "build": "building the vector index",
    "measure": "measuring recall against exact search",
}


app = group()


@command(app, examples=EXAMPLES)
def optimize(
    *,
    rebuild: Annotated[
        bool, panels.run("--rebuild", help="Rebuild the vector indexes of tables with at least 50,000 rows.")
    ] = False,
    output: options.TableFlags,
    db: options.WriterFlags,
) -> None:
    """Merge small files, update the indexes, measure recall, and remove versions replaced over six hours ago.

    Index runs do this themselves when it is due. Searches continue meanwhile.
    """

    def print_step(table: str, step: str) -> None:
        print_message(f"{table}: {_STEP_TEXTS[step]}")

    report = db.open().maintenance.optimize(rebuild=rebuild, wait_s=db.wait, on_step=print_step)
    if output.as_json:
        print_json_lines([report.to_dict()])
        return
    output.print_table(
        ["table", "rows", "rows per file", "versions", "MB on disk", "seconds", "search"],
        [_line(upkeep) for upkeep in report.tables],
        right=["rows", "rows per file", "versions", "MB on disk", "seconds"],
    )
    if report.stray_files:
        print_message(f"{report.stray_files} temporary files of interrupted writes removed")


def _line(upkeep: TableUpkeep) -> tuple[object, ...]:
    from firstsight.storage.vector_sets import base_name

    before, after = upkeep.before, upkeep.after
    size = "" if upkeep.disk_bytes is None else " → ".join(f"{size / 1e6:,.1f}" for size in upkeep.disk_bytes)
    return (
        after.table,
        shown(after.rows, ","),
        f"{_rows_per_file(before)} → {_rows_per_file(after)}",
        " → ".join(map(str, upkeep.versions)),
        size,
        shown(upkeep.seconds, ".1f"),
        search_effort(after) if base_name(after.table) in {"items", "views"} else "",
    )


def _rows_per_file(state: TableState) -> str:
    return f"{state.rows // max(1, state.fragments):,}"
