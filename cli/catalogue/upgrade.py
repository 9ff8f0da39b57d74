"""`firstsight upgrade`: bring a database of an earlier layout up to date."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

EPILOG = "Examples: firstsight upgrade --db shop-db --dry-run · firstsight upgrade --db shop-db --wait 600"


def upgrade(
    db: options.Db = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what it will do and how long it takes.")
    ] = False,
    wait: options.Wait = 0.0,
    json: options.Json = False,
) -> None:
    """Upgrade a database that an earlier firstsight made. The first write does the same.

    Searches continue during an upgrade. A kill loses nothing: run it again.
    """
    import firstsight

    report = firstsight.open(db).upgrade(dry_run=dry_run, wait_s=wait, on_progress=tell)
    if wants_json(json):
        print_json_lines([asdict(report)])
        return
    if not report.due:
        tell(f"{report.db} has layout {report.after}, the newest: there is nothing to do")
        return
    if dry_run:
        tell(f"{report.describe()}; nothing was written")
    if report.changes:
        print_table(
            ["change", "rows", "seconds", "encoded again"],
            [(c.does, f"{c.rows:,}", f"{c.seconds:.1f}", f"{c.encode_again:,}") for c in report.changes],
            right=["rows", "seconds", "encoded again"],
        )
    if not dry_run:
        tell(f"{report.db} has layout {report.after} now, after {report.seconds:.1f} s")
