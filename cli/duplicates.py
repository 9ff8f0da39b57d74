"""`firstsight duplicates`: items that show the same, in groups, with what says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.duplicates.groups import DuplicateGroup

EPILOG = """
[bold]Examples[/bold]

firstsight duplicates

firstsight duplicates --item guitar-acoustic

firstsight duplicates --min-cosine 0.95 --json > duplicates.jsonl
"""


def duplicates(
    item: Annotated[
        list[str] | None,
        typer.Option(
            "--item", metavar="ID", help="Only groups with this item; may be given again.", show_default=False
        ),
    ] = None,
    max_distance: Annotated[
        int, typer.Option("--max-distance", min=0, max=31, help="Most bits by which fingerprints may differ.")
    ] = 31,
    min_cosine: Annotated[
        float,
        typer.Option(
            "--min-cosine", min=-1, max=1, help="Least cosine of their vectors; .95 leaves out most other colours."
        ),
    ] = 0.8,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """List near-duplicate items in groups: the same picture or video resized, encoded again, trimmed or mirrored.

    Each group stands under the item that all others in it are near-duplicates of, with what says so.
    """
    import firstsight

    database = firstsight.open(db)
    groups = database.duplicates(items=item, max_distance=max_distance, min_cosine=min_cosine)
    if wants_json(json):
        print_json_lines(group.as_dict() for group in groups)
    elif not groups:
        tell("no item is a near-duplicate of another")
    else:
        _print(groups)


def _print(groups: list[DuplicateGroup]) -> None:
    print_table(
        ["item", "is a near-duplicate of", "by", "share", "bits", "cosine", "mirrored", "begins at", "speed"],
        [
            (
                *(pair.item_id, pair.other_id, e.kind, f"{e.share:.0%}", e.distance, f"{e.cosine:.3f}"),
                *("yes" if e.mirrored else "", _second(e.offset_s), "" if e.speed is None else f"{e.speed:.2f}"),
            )
            for group in groups
            for pair in group.duplicates
            for e in [pair.evidence]
        ],
        right=["share", "bits", "cosine", "begins at", "speed"],
    )
    items = sum(len(group.duplicates) + 1 for group in groups)
    tell(f"{items:,} items in {len(groups):,} groups")


def _second(offset_s: float | None) -> str:
    """Where in the other video the item's begins; negative where the item has more before it."""
    if offset_s is None:
        return ""
    return f"{offset_s:+.1f} s"
