"""`firstsight safety hashes`: lists of known pictures, matched by PDQ hashes before any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.exits import ERROR
from firstsight.cli.output import at_second, print_json_lines, print_message, shown
from firstsight.cli.safety.options import By, name_or_login

app = group(
    "Keep lists of known pictures, and find copies of them: resized, re-encoded, marked or lightly cropped.",
    examples=[
        "safety hashes add knife.jpg --policy weapons",
        "safety hashes add --item sku-123 --good --by ana",
        "safety hashes import shared-list.csv --policy weapons",
        "safety hashes match --json > matches.jsonl",
        "safety hashes export ours.csv",
        "safety hashes list --policy weapons",
        "safety hashes remove --source knife.jpg",
    ],
)

Policy = Annotated[str | None, panels.policies("--policy", metavar="ID", help="Policy that the pictures belong to.")]


@command(app, examples=["safety hashes add knife.jpg clip.mp4 --policy weapons --tag batch-7"])
def add(
    *,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="Pictures and videos.")] = None,
    item: Annotated[
        list[str] | None, panels.hashes("--item", metavar="ID", help="Indexed item to add (repeatable).")
    ] = None,
    exact: Annotated[
        bool, panels.hashes("--exact", help="Add no hashes of mirrored, lightly cropped and bordered variants.")
    ] = False,
    tag: Annotated[
        list[str] | None, panels.hashes("--tag", metavar="WORD", help="Tag to store with the hashes (repeatable).")
    ] = None,
    policy: Policy = None,
    good: Annotated[
        bool, panels.policies("--good", help="Mark the pictures as harmless; this cancels false matches.")
    ] = False,
    by: By = None,
    db: options.WriterFlags,
) -> None:
    """Add hashes of pictures, video frames or indexed items. Give a policy unless they are harmless."""
    if not files and not item:
        raise typer.BadParameter("name a picture, a video or an --item")
    if not good and policy is None:
        raise typer.BadParameter("use --policy ID for forbidden pictures, or --good", param_hint="--policy")
    added = db.open().safety.hashes.add(
        files or (),
        items=item or (),
        policy=policy,
        of_set="good" if good else "bad",
        tags=tag or (),
        exact=exact,
        by=name_or_login(by),
        wait_s=db.wait,
    )
    for problem in added.problems:
        print_message(f"left out: {problem}")
    print_message(f"{added.hashes:,} hashes, {added.new:,} of them new")
    if added.problems:
        raise typer.Exit(ERROR)


@command(app, "import", examples=["safety hashes import shared-list.csv --policy weapons"])
def import_(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="List of hashes: text with one hash a line, or a ThreatExchange CSV.")
    ],
    policy: Policy = None,
    good: Annotated[bool, panels.policies("--good", help="Treat rows without a category as harmless.")] = False,
    by: By = None,
    db: options.WriterFlags,
) -> None:
    """Add a list of hashes. Invalid rows are reported and skipped; the exit code is then 1."""
    read = db.open().safety.hashes.import_file(
        file, policy=policy, default_set="good" if good else "bad", by=name_or_login(by), wait_s=db.wait
    )
    for problem in read.problems:
        print_message(problem)
    print_message(f"{read.hashes:,} hashes, {read.new:,} of them new; {len(read.problems):,} rows left out")
    if read.problems:
        raise typer.Exit(ERROR)


@command(app, examples=["safety hashes export ours.txt --policy weapons"])
def export(
    *,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File to write: CSV if its name ends in .csv, else one bad hash a line."),
    ],
    policy: Policy = None,
    good: Annotated[
        bool, panels.policies("--good", help="Write only hashes of harmless pictures. By default a CSV has both kinds.")
    ] = False,
    db: options.DatabaseFlags,
) -> None:
    """Write the hashes to a file that ThreatExchange tools can read."""
    written = db.open().safety.hashes.export_file(file, policy=policy, of_set="good" if good else None)
    print_message(f"{written:,} hashes in {file}")


@command(app, examples=["safety hashes match --max-distance 20"])
def match(
    *,
    item: Annotated[
        list[str] | None, panels.filters("--item", metavar="ID", help="Only matches of this item (repeatable).")
    ] = None,
    max_distance: Annotated[
        int,
        panels.filters(
            "--max-distance", metavar="BITS", min=0, max=31, help="Maximum difference of two hashes, 0 to 31 bits."
        ),
    ] = 31,
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List indexed pictures and frames that match a known hash."""
    found = db.open().safety.hashes.match(items=item, max_distance=max_distance)
    if output.as_json:
        print_json_lines(match.to_dict() for match in found)
        return
    matches = sorted(found, key=lambda m: (m.item_id, m.view_id))
    output.print_items(
        db,
        ["item", "view", "at", "known", "policy", "bits", "from"],
        [
            (m.item_id, m.view_id, at_second(m.time_s), m.known.set, m.known.policy_id, m.distance, m.known.source)
            for m in matches
        ],
        right=["at", "bits"],
        empty="no picture or frame in the database matches a known hash",
    )
    if not matches:
        return
    bad = len({m.item_id for m in matches if m.known.set == "bad"})
    print_message(f"{bad:,} items match bad hashes")


@command(app, "list", examples=["safety hashes list --policy weapons"])
def list_(*, policy: Policy = None, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all hashes."""
    entries = db.open().safety.hashes.entries(policy=policy)
    if output.as_json:
        print_json_lines(entry.to_dict() for entry in entries)
    else:
        columns = ["hash", "set", "policy", "quality", "tags", "source", "added_at"]
        rows = [
            entry.to_dict() | {"tags": " ".join(entry.tags), "added_at": shown(entry.added_at, "%Y-%m-%d")}
            for entry in entries
        ]
        cells = [[row[name] for name in columns] for row in rows]
        output.print_table(columns, cells, right=["quality"], empty="there are no hashes")


@command(app, examples=["safety hashes remove --source knife.jpg"])
def remove(
    *,
    hash_: Annotated[list[str] | None, typer.Argument(metavar="HASH", help="Hashes of 64 hexadecimal digits.")] = None,
    source: Annotated[
        list[str] | None,
        panels.hashes("--source", metavar="NAME", help="File, list or item whose hashes to remove (repeatable)."),
    ] = None,
    by: By = None,
    db: options.WriterFlags,
) -> None:
    """Remove hashes, or all hashes of a file, list or item, good and bad."""
    if not hash_ and not source:
        raise typer.BadParameter("name a hash or a --source")
    removed = db.open().safety.hashes.remove(hash_ or (), sources=source or (), by=name_or_login(by), wait_s=db.wait)
    print_message(f"{removed:,} entries removed")
