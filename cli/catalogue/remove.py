"""`firstsight remove`: items taken out by their ids."""

from __future__ import annotations

from typing import Annotated

import typer

from firstsight.cli import options
from firstsight.cli.exits import ERROR
from firstsight.cli.output import print_json_lines, tell, wants_json

EPILOG = "Examples: firstsight remove sneakers-red · firstsight remove sku-1 sku-2 --db shop-db --wait 60"


def remove(
    item_ids: Annotated[list[str], typer.Argument(metavar="ITEM...", help="Ids of the items.")],
    db: options.Db = None,
    json: options.Json = False,
    wait: options.Wait = 0.0,
) -> None:
    """Remove items with their views; an index run over a catalogue that has them brings them back.

    What people decided about them stays in the audit log. An id that is not there is told, and ends with exit code 1.
    """
    import firstsight

    database = firstsight.open(db)
    removed = database.remove(item_ids, wait_s=wait)
    if wants_json(json):
        print_json_lines([{"removed": removed}])
    else:
        tell(f"removed {', '.join(removed)}" if removed else "nothing was removed")
    missing = [item_id for item_id in dict.fromkeys(item_ids) if item_id not in removed]
    if missing:
        tell(f"there is no item {', '.join(map(repr, missing))} in {database.uri}")
        raise typer.Exit(ERROR)
