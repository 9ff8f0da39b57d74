"""`firstsight upgrade`: convert a database to the newest layout."""

from __future__ import annotations

from typing import Annotated

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown

EXAMPLES = ["upgrade --db shop-db --dry-run", "upgrade --db shop-db --wait 600"]

app = group()


@command(app, examples=EXAMPLES)
def upgrade(
    *,
    dry_run: Annotated[
        bool, panels.run("--dry-run", help="Print the steps and their duration; write nothing.")
    ] = False,
    output: options.TableFlags,
    db: options.WriterFlags,
) -> None:
    """Upgrade a database of an earlier version. The first write does the same.

    Searches continue during an upgrade. If it is killed, run it again: nothing is lost.
    """
    report = db.open().maintenance.upgrade(dry_run=dry_run, wait_s=db.wait, on_progress=print_message)
    if output.as_json:
        print_json_lines([report.to_dict()])
        return
    if not report.due:
        print_message(f"{report.db} has layout {report.after}, the newest: there is nothing to do")
        return
    if dry_run:
        print_message(f"{report.describe()}; nothing was written")
    if report.changes:
        output.print_table(
            ["change", "rows", "seconds", "encoded again"],
            [(c.does, shown(c.rows, ","), shown(c.seconds, ".1f"), shown(c.encode_again, ",")) for c in report.changes],
            right=["rows", "seconds", "encoded again"],
        )
    if not dry_run:
        print_message(f"{report.db} has layout {report.after} now, after {report.seconds:.1f} s")
