"""`firstsight remove`: remove items by id."""

from __future__ import annotations

from typing import Annotated

import typer

from firstsight.cli import options
from firstsight.cli.commands import command, group
from firstsight.cli.exits import ERROR
from firstsight.cli.output import print_json_lines, print_message, wants_json

EXAMPLES = [
    "remove sneakers-red",
    "remove sku-1 sku-2 --db shop-db --wait 60",
]

app = group()


@command(app, examples=EXAMPLES)
def remove(
    *,
    item_ids: Annotated[list[str], typer.Argument(metavar="ITEM", help="Item ids.")],
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Remove items with their views. An index run adds them again if the catalogue still has them.

    Review decisions stay in the audit log. Missing ids are listed, and the exit code is then 1.
    """
    database = db.open()
    removed = database.remove(item_ids, wait_s=db.wait)
    if wants_json(json):
        print_json_lines([{"removed": removed}])
    else:
        print_message(f"removed {', '.join(removed)}" if removed else "nothing was removed")
    missing = [item_id for item_id in dict.fromkeys(item_ids) if item_id not in removed]
    if missing:
        print_message(f"there is no item {', '.join(map(repr, missing))} in {database.uri}")
        raise typer.Exit(ERROR)
