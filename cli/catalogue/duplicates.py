"""`firstsight duplicates`: groups of near-duplicate items, with the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import Cell, print_json_lines, print_message, shown

if TYPE_CHECKING:
    from firstsight.duplicates.groups import DuplicateGroup

EXAMPLES = [
    "duplicates",
    "duplicates --item guitar-acoustic",
    "duplicates --collapse none",
    "duplicates --min-cosine 0.95 --json > duplicates.jsonl",
    "duplicates --columns item,title,cosine --csv > duplicates.csv",
]

app = group()


@command(app, examples=EXAMPLES)
def duplicates(
    *,
    item: Annotated[
        list[str] | None, panels.filters("--item", metavar="ID", help="Only groups with this item (repeatable).")
    ] = None,
    max_distance: Annotated[
        int,
        panels.filters(
            "--max-distance",
            metavar="BITS",
            min=0,
            max=31,
            help="Maximum difference of two fingerprints, 0 to 31 bits.",
        ),
    ] = 31,
    min_cosine: Annotated[
        float,
        panels.filters(
            "--min-cosine",
            metavar="COSINE",
            min=-1,
            max=1,
            help="Minimum cosine of two vectors, -1 to 1. 0.95 excludes most items in another colour.",
        ),
    ] = 0.8,
    collapse: Annotated[
        str | None,
        panels.filters(
            "--collapse",
            metavar="none",
            help="Give none to list every pair of items. If the catalogue has group ids, the default is one pair of "
            "each two products, and no pair within a product.",
        ),
    ] = None,
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List groups of near-duplicate items: the same picture or video resized, re-encoded, trimmed or mirrored.

    All items of a group are near-duplicates of its first item. Each pair has its evidence. Two variants of one product
    are no pair.
    """
    near = db.open().duplicates
    groups = near.find(items=item, collapse=collapse, max_distance=max_distance, min_cosine=min_cosine)
    if output.as_json:
        print_json_lines(group.to_dict() for group in groups)
    else:
        _print(groups, output, db)
    if missing := near.videos_without_prints():
        print_message(
            f"{missing:,} videos have no fingerprints and are compared by their encoded frames only, which misses most "
            "edited copies; index their catalogue again"
        )


def _print(groups: list[DuplicateGroup], output: options.ItemTableFlags, db: options.DatabaseFlags) -> None:
    output.print_items(
        db,
        ["item", "is a near-duplicate of", "by", "share", "bits", "cosine", "mirrored", "begins at", "speed"],
        [
            (
                *(pair.item_id, pair.other_id, "same file" if e.identical else e.kind),
                *(shown(e.share, ".0%"), e.distance, shown(e.cosine, ".3f")),
                *("yes" if e.mirrored else "", _second(e.offset_s), shown(e.speed, ".2f")),
            )
            for group in groups
            for pair in group.duplicates
            for e in [pair.evidence]
        ],
        right=["share", "bits", "cosine", "begins at", "speed"],
        empty="no item is a near-duplicate of another",
    )
    if not groups:
        return
    items = sum(len(group.duplicates) + 1 for group in groups)
    print_message(f"{items:,} items in {len(groups):,} groups")


def _second(offset_s: float | None) -> Cell:
    """Format where the item's video begins in the other one; negative if the item starts earlier."""
    return Cell(offset_s, "" if offset_s is None else f"{offset_s:+.1f} s")
