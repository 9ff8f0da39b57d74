"""`firstsight safety hashes`: lists of known pictures and videos, matched before any model."""

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
    "Keep lists of known pictures and videos, and find copies of them: resized, re-encoded, marked or cropped.",
    examples=[
        "safety hashes add knife.jpg clip.mp4 --policy weapons",
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
    frames: Annotated[
        bool, panels.hashes("--frames", help="Also add frames of the videos as pictures. A single match then flags.")
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
    """Add hashes of pictures, and fingerprints of videos. Give a policy unless they are harmless."""
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
        frames=frames,
        by=name_or_login(by),
        wait_s=db.wait,
    )
    for problem in added.problems:
        print_message(f"left out: {problem}")
    print_message(f"{added.hashes:,} hashes and {added.videos:,} videos, {added.new:,} of them new")
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
    """Write the hashes of pictures to a file that ThreatExchange tools can read."""
    hashes = db.open().safety.hashes
    written = hashes.export_file(file, policy=policy, of_set="good" if good else None)
    print_message(f"{written:,} hashes in {file}")
    if videos := len(hashes.videos(policy=policy)):
        print_message(f"{videos:,} known videos are not in it: the formats hold only hashes of pictures")


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
    """List indexed pictures and frames that match a known hash, and videos that share a part with a known one."""
    hashes = db.open().safety.hashes
    found = list(hashes.match(items=item, max_distance=max_distance))
    videos = hashes.match_videos(items=item)
    if output.as_json:
        print_json_lines([*(match.to_dict() for match in found), *(match.to_dict() for match in videos)])
        return
    matches = sorted(found, key=lambda m: (m.item_id, m.view_id))
    output.print_items(
        db,
        ["item", "view", "at", "until", "known", "policy", "bits", "of known", "of item", "from"],
        [
            *(
                (
                    *(m.item_id, m.view_id, at_second(m.time_s), "", m.known.set, m.known.policy_id, m.distance),
                    *("", "", m.known.source),
                )
                for m in matches
            ),
            *(
                (
                    *(m.item_id, m.uri, at_second(m.start_s), at_second(m.end_s), m.known.set, m.known.policy_id),
                    *(round(m.distance), shown(m.share, ".0%"), shown(m.item_share, ".0%"), m.known.source),
                )
                for m in videos
            ),
        ],
        right=["at", "until", "bits", "of known", "of item"],
        empty="no picture, frame or video in the database matches a known one",
    )
    if not matches and not videos:
        return
    bad = {m.item_id for m in matches if m.known.set == "bad"} | {m.item_id for m in videos if m.known.set == "bad"}
    print_message(f"{len(bad):,} items match known-bad pictures or videos")


@command(app, "list", examples=["safety hashes list --policy weapons"])
def list_(*, policy: Policy = None, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all hashes of pictures, and digests of videos."""
    hashes = db.open().safety.hashes
    entries, videos = hashes.entries(policy=policy), hashes.videos(policy=policy)
    if output.as_json:
        print_json_lines([*(entry.to_dict() for entry in entries), *(video.to_dict() for video in videos)])
        return
    columns = ["hash", "set", "policy", "quality", "seconds", "tags", "source", "added_at"]
    rows = [entry.to_dict() | {"seconds": None, "added_at": entry.added_at} for entry in entries]
    rows += [
        video.to_dict() | {"hash": video.digest.hex(), "quality": None, "added_at": video.added_at} for video in videos
    ]
    for row in rows:
        row |= {"tags": " ".join(row["tags"]), "added_at": shown(row["added_at"], "%Y-%m-%d")}
    cells = [[row[name] for name in columns] for row in rows]
    output.print_table(columns, cells, right=["quality", "seconds"], empty="there are no hashes")


@command(app, examples=["safety hashes remove --source knife.jpg"])
def remove(
    *,
    hash_: Annotated[
        list[str] | None, typer.Argument(metavar="HASH", help="Hashes, or digests of videos, of 64 hexadecimal digits.")
    ] = None,
    source: Annotated[
        list[str] | None,
        panels.hashes("--source", metavar="NAME", help="File, list or item whose hashes to remove (repeatable)."),
    ] = None,
    by: By = None,
    db: options.WriterFlags,
) -> None:
    """Remove hashes and videos, or all of a file, list or item, good and bad."""
    if not hash_ and not source:
        raise typer.BadParameter("name a hash or a --source")
    removed = db.open().safety.hashes.remove(hash_ or (), sources=source or (), by=name_or_login(by), wait_s=db.wait)
    print_message(f"{removed:,} entries removed")
